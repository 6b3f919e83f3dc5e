//! Which seeds a run plays, and how they are spread over the cores.

use std::ops::Range;
use std::panic::resume_unwind;

/// The one of `TRIREME_SEED`, if it is set.
pub(crate) fn chosen() -> Option<u64> {
    let text = variable("TRIREME_SEED")?;
    Some(text.parse().expect("TRIREME_SEED is a number"))
}

/// Whether the long runs play all of their seeds.
pub(crate) fn full() -> bool {
    variable("TRIREME_TEST_SHARE").is_some_and(|share| share == "full")
}

/// Plays the seeds on all cores; the first one that panics is reported.
pub(crate) fn spread<T: Send>(seeds: Range<u64>, play: fn(u64) -> T) -> Vec<T> {
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u64);
    std::thread::scope(|scope| {
        let share =
            |first: u64| (seeds.start + first..seeds.end).step_by(workers as usize).map(play);
        let threads: Vec<_> = (0..workers)
            .map(|first| scope.spawn(move || share(first).collect::<Vec<_>>()))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<T>>| {
            thread.join().unwrap_or_else(|broken| resume_unwind(broken))
        };
        threads.into_iter().flat_map(join).collect()
    })
}

#[allow(clippy::disallowed_methods, reason = "a test is given no arguments")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
