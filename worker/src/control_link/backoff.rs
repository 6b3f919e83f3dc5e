//! Growing pauses between attempts, jittered so that a restarted cluster is not dialled in step.

use std::time::Duration;

use rand::Rng;

const FIRST: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(max: Duration) -> Self {
        Self { next: FIRST.min(max), max }
    }

    /// The attempt worked: start over with short pauses.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST.min(self.max);
    }

    /// Waits between half and all of the current pause, then doubles it.
    pub(crate) async fn pause(&mut self) {
        let part = rand::rng().random_range(0.5..=1.0);
        tokio::time::sleep(self.next.mul_f64(part)).await;
        self.next = (self.next * 2).min(self.max);
    }
}
