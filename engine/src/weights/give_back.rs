//! Gives memory that the allocator keeps for later back to the system.

/// Loading reads through buffers that nothing needs again, and glibc would keep them for good.
pub(crate) fn give_back_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes no pointer; the allocator locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
