//! Amounts of the last minute, by second. Pure.

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) const MINUTE: u64 = 60;

/// What was given out or used in the last 60 seconds, never less: an amount counts until every
/// minute that it could be part of is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    seconds: VecDeque<(u64, u64)>,
    sum: u64,
}

impl Window {
    pub(crate) fn add(&mut self, amount: u64, now: Duration) {
        self.forget(now);
        if amount == 0 {
            return;
        }
        self.sum = self.sum.saturating_add(amount);
        match self.seconds.back_mut() {
            Some((second, known)) if *second >= now.as_secs() => {
                *known = known.saturating_add(amount);
            }
            _ => self.seconds.push_back((now.as_secs(), amount)),
        }
    }

    /// What is left of `limit`.
    pub(crate) fn room(&mut self, limit: u64, now: Duration) -> u64 {
        self.forget(now);
        limit.saturating_sub(self.sum)
    }

    /// Seconds until `need` of `limit` is free, if nobody takes any; at most a minute.
    pub(crate) fn wait(&mut self, limit: u64, need: u64, now: Duration) -> u64 {
        self.forget(now);
        let mut left = self.sum;
        for (second, amount) in &self.seconds {
            if limit.saturating_sub(left) >= need {
                break;
            }
            left = left.saturating_sub(*amount);
            if limit.saturating_sub(left) >= need {
                return (second + MINUTE + 1).saturating_sub(now.as_secs()).max(1);
            }
        }
        if limit.saturating_sub(left) >= need { 1 } else { MINUTE }
    }

    pub(crate) fn is_empty(&mut self, now: Duration) -> bool {
        self.forget(now);
        self.seconds.is_empty()
    }

    fn forget(&mut self, now: Duration) {
        while let Some((second, amount)) = self.seconds.front().copied() {
            if second + MINUTE >= now.as_secs() {
                return;
            }
            self.sum = self.sum.saturating_sub(amount);
            self.seconds.pop_front();
        }
    }
}
