//! Taking blocks back from the youngest when the pool is empty; it is computed again later.

use super::Scheduler;
use super::event::StreamKey;
use super::sequence::Rank;

/// What came of an attempt to give a sequence room for its next row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Made,
    /// It was the youngest itself, and went back to the queue.
    PreemptedItself,
}

impl Scheduler {
    /// Grows the table of a running sequence to all its known tokens, at the expense of younger
    /// ones if need be.
    ///
    /// `in_batch` are the ranks whose rows are already in the batch being built: their blocks must
    /// not change hands inside it. Rows that are in flight are no obstacle, they run before.
    pub(super) fn make_room(&mut self, key: StreamKey, in_batch: &[Rank]) -> Room {
        loop {
            let Some(sequence) = self.sequences.get_mut(&key) else {
                return Room::PreemptedItself;
            };
            let (rank, tokens) = (sequence.rank, sequence.len());
            if sequence.table.grow(tokens, &mut self.blocks) {
                return Room::Made;
            }
            let mut youngest_first = self.running.iter().rev();
            let victim = youngest_first.find(|(rank, _)| !in_batch.contains(rank));
            let victim = victim.map(|(rank, key)| (*rank, *key));
            match victim {
                Some((youngest, other)) if youngest > rank => self.preempt(youngest, other),
                _ => {
                    self.preempt(rank, key);
                    return Room::PreemptedItself;
                }
            }
        }
    }

    /// Back to the queue without blocks and slot; emitted tokens and rank are kept.
    fn preempt(&mut self, rank: Rank, key: StreamKey) {
        let Some(sequence) = self.sequences.get_mut(&key) else {
            return;
        };
        sequence.table.release(&mut self.blocks);
        self.slots.give_back(&mut sequence.slot);
        self.ended.push(sequence.run);
        self.running.remove(&rank);
        self.waiting.push(rank, key);
        self.preemptions += 1;
        tracing::debug!(stream = key.0, emitted = sequence.emitted.len(), "preempted");
    }
}
