//! Sequences that do not run yet, or not at the moment, in the order they will be taken.

use std::collections::BTreeMap;

use super::event::StreamKey;
use super::sequence::Rank;

/// Ordered by rank: resumed ones first, then by arrival. A preempted sequence keeps its rank, so
/// it stands before everything that has not run.
#[derive(Debug, Default)]
pub(super) struct WaitingQueue {
    keys: BTreeMap<Rank, StreamKey>,
}

impl WaitingQueue {
    pub(super) fn push(&mut self, rank: Rank, key: StreamKey) {
        self.keys.insert(rank, key);
    }

    pub(super) fn first(&self) -> Option<(Rank, StreamKey)> {
        self.keys.first_key_value().map(|(rank, key)| (*rank, *key))
    }

    pub(super) fn remove(&mut self, rank: Rank) {
        self.keys.remove(&rank);
    }

    pub(super) fn len(&self) -> u32 {
        self.keys.len() as u32
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Rank, StreamKey)> {
        self.keys.iter().map(|(rank, key)| (*rank, *key))
    }
}
