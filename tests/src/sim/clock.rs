//! Virtual time: what happens next, and when. Nothing in a simulation waits for a real clock.

use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Agenda<T> {
    now: Duration,
    /// By time, then by the order of entry.
    entries: BTreeMap<(Duration, u64), T>,
    entered: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { now: Duration::ZERO, entries: BTreeMap::new(), entered: 0 }
    }
}

impl<T> Agenda<T> {
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn at(&mut self, when: Duration, what: T) {
        self.entered += 1;
        self.entries.insert((when.max(self.now), self.entered), what);
    }

    pub(super) fn after(&mut self, delay: Duration, what: T) {
        self.at(self.now + delay, what);
    }

    /// When the next entry is due.
    pub(super) fn due(&self) -> Option<Duration> {
        self.entries.first_key_value().map(|((when, _), _)| *when)
    }

    /// Lets time pass without an entry.
    pub(super) fn pass(&mut self, to: Duration) {
        self.now = self.now.max(to);
    }

    /// Goes on to the next entry.
    pub(super) fn next(&mut self) -> Option<T> {
        let ((when, _), what) = self.entries.pop_first()?;
        self.now = when;
        Some(what)
    }
}
