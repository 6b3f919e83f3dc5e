//! Threads that wait for the next parallel region by spinning, then park.
//!
//! A decode step of a 1B model has some eighty regions of about 100 microseconds: waking a parked
//! thread for each would cost a tenth of them.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread spins for the next region before it gives its core away.
const SPIN: Duration = Duration::from_micros(60);
/// Spins between looks at the clock.
const SPINS_PER_LOOK: usize = 32;

/// State: the region's number in the high half, then whether it is open, then the threads in it.
const REGION: u64 = 1 << 32;
const OPEN: u64 = 1 << 31;
const INSIDE: u64 = OPEN - 1;

pub(crate) struct ComputePool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Callers take turns.
    turn: Mutex<()>,
}

/// On cache lines of their own: each is written while another is read.
#[repr(align(128))]
struct Apart<T>(T);

struct Shared {
    state: Apart<AtomicU64>,
    next: Apart<AtomicUsize>,
    parked: Apart<AtomicUsize>,
    stop: AtomicBool,
    tasks: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// The caller's closure, which outlives the region.
#[derive(Clone, Copy)]
struct Job(*const (dyn Fn(usize) + Sync));

// SAFETY: the closure is `Sync`; `job` is written by a caller that has the turn while no thread is
// inside, and read by threads inside only.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

thread_local! {
    /// A task that starts a region runs it alone: the pool is busy with its own.
    static IN_REGION: Cell<bool> = const { Cell::new(false) };
}

impl ComputePool {
    /// `threads` in all, the caller's among them.
    pub(crate) fn new(threads: usize, on_start: impl Fn() + Clone + Send + 'static) -> Self {
        let shared = Arc::new(Shared {
            state: Apart(AtomicU64::new(0)),
            next: Apart(AtomicUsize::new(0)),
            parked: Apart(AtomicUsize::new(0)),
            stop: AtomicBool::new(false),
            tasks: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
        });
        let spawn = |i: usize| {
            let (shared, on_start) = (Arc::clone(&shared), on_start.clone());
            let work = move || {
                on_start();
                IN_REGION.set(true);
                shared.work();
            };
            std::thread::Builder::new().name(format!("compute-{i}")).spawn(work).ok()
        };
        // Without a thread the others do its share.
        let threads = (1..threads.max(1)).filter_map(spawn).collect();
        Self { shared, threads, turn: Mutex::new(()) }
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    pub(crate) fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if tasks <= 1 || self.threads.is_empty() || IN_REGION.get() {
            return (0..tasks).for_each(task);
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        IN_REGION.set(true);
        let region = Region::open(self, tasks, task);
        let own = catch_unwind(AssertUnwindSafe(|| self.shared.take_tasks(tasks, task)));
        drop(region);
        // Taken in any case: the next region must not find it.
        let others = self.shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = own.err().or(others) {
            resume_unwind(panic);
        }
    }
}

impl Drop for ComputePool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a compute thread ended in a panic");
            }
        }
    }
}

/// An open region; its end waits for the threads inside.
struct Region<'a>(&'a Shared);

impl<'a> Region<'a> {
    fn open(pool: &'a ComputePool, tasks: usize, task: &(dyn Fn(usize) + Sync)) -> Self {
        let shared = &*pool.shared;
        // SAFETY: the region ends before this borrow does, so nobody uses the longer lifetime.
        let task: *const (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(task) };
        // SAFETY: the caller has the turn, and the last region ended with nobody inside.
        unsafe { *shared.job.get() = Some(Job(task)) };
        shared.tasks.store(tasks, Ordering::Relaxed);
        shared.next.0.store(0, Ordering::Relaxed);
        let region = shared.state.0.load(Ordering::Relaxed) / REGION + 1;
        shared.state.0.store(region.wrapping_mul(REGION) | OPEN, Ordering::SeqCst);
        if shared.parked.0.load(Ordering::SeqCst) > 0 {
            pool.threads.iter().for_each(|thread| thread.thread().unpark());
        }
        Self(shared)
    }
}

impl Drop for Region<'_> {
    fn drop(&mut self) {
        self.0.state.0.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0;
        while self.0.state.0.load(Ordering::Acquire) & INSIDE != 0 {
            spins += 1;
            // Whoever is inside may have lost its core to this very loop.
            if spins % 1024 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        IN_REGION.set(false);
    }
}

impl Shared {
    /// The life of a thread: enters each region that it sees open, once.
    fn work(&self) {
        let mut seen = 0;
        while let Some(region) = self.enter(seen) {
            seen = region;
            // SAFETY: this thread is inside, so the region's caller waits with the closure alive.
            let job = unsafe { *self.job.get() };
            if let Some(Job(task)) = job {
                let tasks = self.tasks.load(Ordering::Relaxed);
                // SAFETY: as above.
                let run = || self.take_tasks(tasks, unsafe { &*task });
                if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                    let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
                    match &mut *first {
                        None => *first = Some(panic),
                        // Its drop may panic too, and this thread must leave the region.
                        Some(_) => std::mem::forget(panic),
                    }
                }
            }
            self.state.0.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for a region other than `seen` and enters it; `None` when the pool ends.
    fn enter(&self, seen: u64) -> Option<u64> {
        let mut since = Instant::now();
        let mut spins = 0;
        loop {
            let state = self.state.0.load(Ordering::Relaxed);
            let region = state / REGION;
            if state & OPEN != 0 && region != seen {
                let entered = self.state.0.compare_exchange_weak(
                    state,
                    state + 1,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                );
                if entered.is_ok() {
                    return Some(region);
                }
                continue;
            }
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            spins += 1;
            if spins % SPINS_PER_LOOK != 0 || since.elapsed() < SPIN {
                std::hint::spin_loop();
                continue;
            }
            self.park(seen);
            since = Instant::now();
        }
    }

    /// Announces itself, looks once more, parks.
    fn park(&self, seen: u64) {
        self.parked.0.fetch_add(1, Ordering::SeqCst);
        let state = self.state.0.load(Ordering::SeqCst);
        let waits = state & OPEN == 0 || state / REGION == seen;
        if waits && !self.stop.load(Ordering::SeqCst) {
            std::thread::park();
        }
        self.parked.0.fetch_sub(1, Ordering::SeqCst);
    }

    fn take_tasks(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        loop {
            let next = self.next.0.fetch_add(1, Ordering::Relaxed);
            if next >= tasks {
                return;
            }
            task(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_in_many_regions_from_many_callers() {
        for threads in [1, 2, 5] {
            let pool = ComputePool::new(threads, || {});
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        for tasks in (0..200).chain([1000]) {
                            let counts: Vec<AtomicUsize> =
                                (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                            pool.run(tasks, &|i| {
                                counts[i].fetch_add(1, Ordering::Relaxed);
                            });
                            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
                        }
                    });
                }
            });
        }
    }

    #[test]
    fn a_region_inside_of_a_task_runs_there() {
        let pool = ComputePool::new(3, || {});
        let sum = AtomicUsize::new(0);
        pool.run(8, &|_| {
            pool.run(8, &|_| {
                sum.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 64);
    }

    #[test]
    fn parked_threads_wake_for_the_next_region() {
        let pool = ComputePool::new(2, || {});
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(5));
            // Two tasks that wait for each other need two threads.
            let both = std::sync::Barrier::new(2);
            pool.run(2, &|_| {
                both.wait();
            });
        }
    }

    #[test]
    fn panics_on_every_thread_at_once_leave_nothing_for_the_next_region() {
        let pool = ComputePool::new(2, || {});
        for _ in 0..20 {
            let both = std::sync::Barrier::new(2);
            let panics = catch_unwind(AssertUnwindSafe(|| {
                pool.run(2, &|_| {
                    both.wait();
                    panic!("on both threads");
                });
            }));
            assert!(panics.is_err());
            pool.run(2, &|_| {});
        }
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_the_pool_lives_on() {
        let pool = ComputePool::new(2, || {});
        let panics = catch_unwind(AssertUnwindSafe(|| {
            pool.run(64, &|i| assert!(i != 40, "task 40"));
        }));
        assert!(panics.is_err());
        let count = AtomicUsize::new(0);
        pool.run(10, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 10);
    }
}
