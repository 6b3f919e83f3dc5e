//! Short measurements of memory bandwidth and matrix rate with all compute threads.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Bytes read per thread and pass: beyond what a core's own caches hold.
const STREAM_BYTES: usize = 16 << 20;
/// Rows, columns and depth of the product each thread repeats; fits the second-level cache.
const TILE: usize = 96;
const TIME: Duration = Duration::from_millis(60);

/// Bytes per second that `threads` threads read together: what a decode step is limited by.
pub(super) fn memory_bandwidth(threads: usize) -> f64 {
    // Comparing equal slices streams through both at the machine's speed, whatever the build
    // profile, because it is the C library's own loop.
    on_threads(threads, || {
        let (a, b) = (vec![1_u8; STREAM_BYTES], vec![1_u8; STREAM_BYTES]);
        move || {
            black_box(black_box(&a) == black_box(&b));
            2 * STREAM_BYTES as u64
        }
    })
}

/// f32 multiply-accumulates per second of `threads` threads: what a prefill is limited by.
pub(super) fn matmul_rate(threads: usize) -> f64 {
    on_threads(threads, || {
        let a = vec![0.5_f32; TILE * TILE];
        let b = vec![0.25_f32; TILE * TILE];
        let mut c = vec![0.0_f32; TILE * TILE];
        move || {
            multiply(black_box(&a), black_box(&b), &mut c);
            black_box(&c);
            (TILE * TILE * TILE) as u64
        }
    })
}

/// c += a x b, row by row so that the inner loop runs over contiguous values.
fn multiply(a: &[f32], b: &[f32], c: &mut [f32]) {
    for (a_row, c_row) in a.chunks_exact(TILE).zip(c.chunks_exact_mut(TILE)) {
        for (factor, b_row) in a_row.iter().zip(b.chunks_exact(TILE)) {
            for (sum, value) in c_row.iter_mut().zip(b_row) {
                *sum += factor * value;
            }
        }
    }
}

/// Runs the work that `make` prepares on every thread for `TIME`; units of work per second.
fn on_threads<W: FnMut() -> u64>(threads: usize, make: impl Fn() -> W + Sync) -> f64 {
    std::thread::scope(|scope| {
        let work = || {
            let mut pass = make();
            pass();
            let started = Instant::now();
            let mut done = 0;
            while started.elapsed() < TIME {
                done += pass();
            }
            done as f64 / started.elapsed().as_secs_f64()
        };
        let running: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_rates_are_positive_and_finite() {
        for rate in [memory_bandwidth(2), matmul_rate(2)] {
            assert!(rate.is_finite() && rate > 1e6, "{rate}");
        }
    }
}
