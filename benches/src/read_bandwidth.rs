//! What a decode step cannot beat: bytes per second that all threads read together.

use std::hint::black_box;
use std::time::Instant;

/// Far beyond any cache.
const BYTES: usize = 512 << 20;

/// Bytes per second of `threads` threads, each reading a buffer of its own once.
pub struct ReadBandwidth {
    buffers: Vec<Vec<u64>>,
}

impl ReadBandwidth {
    pub fn new(threads: usize) -> Self {
        let words = BYTES / threads.max(1) / size_of::<u64>();
        let buffer = |seed: usize| (0..words as u64).map(|i| i ^ seed as u64).collect();
        Self { buffers: (0..threads.max(1)).map(buffer).collect() }
    }

    pub fn measure(&self) -> f64 {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for buffer in &self.buffers {
                scope.spawn(|| black_box(sum(buffer)));
            }
        });
        let bytes: usize = self.buffers.iter().map(|buffer| size_of_val(&buffer[..])).sum();
        bytes as f64 / begun.elapsed().as_secs_f64()
    }
}

/// Independent sums, so that the additions never wait for each other.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0_u64; 32];
    for chunk in words.as_chunks::<32>().0 {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().fold(0, |a, b| a.wrapping_add(*b))
}
