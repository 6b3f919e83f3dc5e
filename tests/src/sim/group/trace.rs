//! The history of a run: a hash that tells two runs apart, and lines to read when one is replayed.

use std::time::Duration;

#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// Keeps the lines if `told`.
    pub(super) fn new(told: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: told.then(Vec::new) }
    }

    pub(super) fn note(&mut self, now: Duration, line: impl FnOnce() -> String) {
        let line = format!("{:>10.3} ms  {}", now.as_secs_f64() * 1e3, line());
        for byte in line.bytes() {
            // FNV-1a.
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }
}
