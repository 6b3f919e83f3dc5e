//! The cores that threads may run on.

use std::collections::BTreeSet;
use std::io;

/// More cores than any machine has.
const CPUS_MAX: usize = 8192;
const WORD_BITS: usize = u64::BITS as usize;

/// The cores that the calling thread may run on.
#[cfg(target_os = "linux")]
pub(super) fn allowed() -> io::Result<BTreeSet<usize>> {
    let mut mask = [0_u64; CPUS_MAX / WORD_BITS];
    // SAFETY: the mask is as long as is said, and 0 is the calling thread.
    let found = unsafe {
        libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast::<libc::cpu_set_t>())
    };
    if found < 0 {
        return Err(io::Error::last_os_error());
    }
    let is_set = |cpu: &usize| mask[cpu / WORD_BITS] >> (cpu % WORD_BITS) & 1 == 1;
    Ok((0..CPUS_MAX).filter(is_set).collect())
}

/// Lets the calling thread run on `cpus` alone; threads that it starts inherit that.
#[cfg(target_os = "linux")]
pub(in crate::kernels) fn bind(cpus: &[usize]) -> io::Result<()> {
    let mut mask = [0_u64; CPUS_MAX / WORD_BITS];
    for cpu in cpus.iter().filter(|cpu| **cpu < CPUS_MAX) {
        mask[cpu / WORD_BITS] |= 1 << (cpu % WORD_BITS);
    }
    // SAFETY: the mask is as long as is said, and 0 is the calling thread.
    let set = unsafe {
        libc::sched_setaffinity(0, size_of_val(&mask), mask.as_ptr().cast::<libc::cpu_set_t>())
    };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn allowed() -> io::Result<BTreeSet<usize>> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(in crate::kernels) fn bind(_: &[usize]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_bound_thread_and_those_it_starts_may_run_on_its_cores_alone() {
        let all = allowed().expect("Linux says so");
        let last = *all.last().expect("this thread runs somewhere");
        let bound = std::thread::spawn(move || {
            bind(&[last]).expect("an allowed core");
            let inherited = std::thread::spawn(allowed).join().expect("no panic");
            [allowed(), inherited]
        });
        for found in bound.join().expect("no panic") {
            assert_eq!(found.expect("Linux says so"), BTreeSet::from([last]));
        }
        assert_eq!(allowed().expect("Linux says so"), all, "other threads are as they were");
    }
}
