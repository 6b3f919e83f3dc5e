//! How the C library's heap treats large blocks.

/// From here on a freed block goes back to the system at once.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: libc::c_int = 1 << 20;

/// Has buffers of a megabyte and more (chunks on their way, tensors read to be packed) leave the
/// process when they are freed. glibc otherwise keeps all below 32 MiB once one of that size was
/// freed: 70 MB more at the peak of a rank that fetched and loaded 0.4 GB. Call it once, early.
pub fn give_back_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call sets a number inside the allocator, under its lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
    }
}
