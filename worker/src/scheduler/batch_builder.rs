//! Building the next batches: decode rows first, then prefill chunks in order, then newcomers.

use std::time::Duration;

use protocol::ids::{SequenceId, StepId};
use protocol::limits::STEP_TOKENS_MAX;
use protocol::step_batch::{Sample, SequenceRows, StepBatch};

use super::event::StreamKey;
use super::in_flight::{Step, StepRow};
use super::preemption::Room;
use super::sequence::Rank;
use super::{Action, Phase, Scheduler};

/// A batch under construction.
struct Draft {
    batch: StepBatch,
    /// Tokens that it may still take.
    budget: u32,
    rows: Vec<StepRow>,
    ranks: Vec<Rank>,
}

impl Scheduler {
    /// Fills the pipeline: batches go out while a stage would stand idle and there are rows.
    pub(super) fn dispatch(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Lost { .. } | Phase::Stopped) {
            return;
        }
        while self.in_flight.len() < self.step_time.depth(self.config.stages) {
            let preemptions = self.preemptions;
            let mut draft = self.draft();
            self.add_decode_rows(&mut draft);
            self.add_prefill_chunks(&mut draft);
            self.admit(&mut draft);
            if !draft.rows.is_empty() {
                actions.push(Action::Dispatch(self.complete(draft, now)));
            } else if self.preemptions == preemptions {
                return;
            }
            // Else those chosen gave way to older ones, whose turn it is now.
        }
    }

    fn draft(&self) -> Draft {
        let tokens_max = self.config.kv.step_tokens_max.min(STEP_TOKENS_MAX as u32);
        let (starts, ends, copies, rows) = (vec![], vec![], vec![], vec![]);
        Draft {
            batch: StepBatch { step: StepId(self.steps), starts, ends, copies, rows },
            budget: self.step_time.budget(self.config.step_target, tokens_max),
            rows: Vec::new(),
            ranks: Vec::new(),
        }
    }

    fn complete(&mut self, draft: Draft, now: Duration) -> StepBatch {
        let Draft { mut batch, rows, .. } = draft;
        self.steps += 1;
        batch.ends = std::mem::take(&mut self.ended);
        let tokens = batch.token_count() as u32;
        self.in_flight.push(Step { id: batch.step, dispatched_at: now, tokens, rows });
        batch
    }

    /// One row for each sequence whose last token is known: an equal share of all that decode, so
    /// that as many batches as are wanted in flight have rows. Least recently served first.
    fn add_decode_rows(&mut self, draft: &mut Draft) {
        let depth = self.step_time.depth(self.config.stages);
        let (mut decoding, mut beginning) = (0, self.can_admit());
        let mut ready = Vec::new();
        for key in self.running.values() {
            let Some(sequence) = self.sequences.get(key) else { continue };
            decoding += u32::from(!sequence.in_prefill());
            beginning |= sequence.in_prefill();
            if sequence.ready_to_decode() {
                ready.push((sequence.last_step, sequence.rank, *key));
            }
        }
        ready.sort_unstable();
        // A quarter of a full batch is kept for those that have no token yet.
        let reserve = if beginning { draft.budget.div_ceil(4) } else { 0 };
        ready.truncate(decoding.div_ceil(depth).min(draft.budget - reserve) as usize);
        // Oldest first: whoever lacks a block may take one from those that come after it.
        ready.sort_unstable_by_key(|(_, rank, _)| *rank);
        for (_, rank, key) in ready {
            if self.running.contains_key(&rank) && self.make_room(key, &draft.ranks) == Room::Made {
                self.add_rows(draft, key);
            }
        }
    }

    fn add_prefill_chunks(&mut self, draft: &mut Draft) {
        let keys: Vec<_> = self.running.values().copied().collect();
        for key in keys {
            if draft.budget == 0 {
                return;
            }
            if self.sequences.get(&key).is_some_and(|sequence| sequence.in_prefill()) {
                self.add_rows(draft, key);
            }
        }
    }

    /// Starts waiting sequences, first come first served, while tokens and blocks last.
    fn admit(&mut self, draft: &mut Draft) {
        while let Some((rank, key)) = self.waiting.first() {
            if draft.budget == 0 || !self.can_admit() {
                return;
            }
            let Some(sequence) = self.sequences.get_mut(&key) else { return };
            sequence.table.grow(sequence.len(), &mut self.blocks);
            sequence.slot = self.slots.take();
            draft.batch.starts.push(sequence.start(SequenceId(self.runs)));
            self.runs += 1;
            self.waiting.remove(rank);
            self.running.insert(rank, key);
            self.add_rows(draft, key);
        }
    }

    /// Whether the first that waits may start: all its known tokens find room, with a spare block
    /// for each running one that will need more. Started without, it would soon be preempted and
    /// computed a second time.
    fn can_admit(&self) -> bool {
        let first = self.waiting.first().and_then(|(_, key)| self.sequences.get(&key));
        let Some(sequence) = first else {
            return false;
        };
        if self.running.len() as u32 >= self.config.sequences_max() {
            return false;
        }
        let running = self.running.values().filter_map(|key| self.sequences.get(key));
        let growing = running.filter(|s| {
            let last = s.tokens_at_most().min(self.config.sequence_tokens_max());
            self.blocks.blocks_for(last) > s.table.blocks().len() as u32
        });
        let spare = growing.count() as u32;
        sequence.steps_in_flight == 0
            && self.blocks.blocks_for(sequence.len()) + spare <= self.blocks.free()
    }

    /// Adds the next rows of a running sequence that has room for them: the decode row, or as much
    /// of its prefill as the budget takes.
    fn add_rows(&mut self, draft: &mut Draft, key: StreamKey) {
        let Some(sequence) = self.sequences.get_mut(&key) else { return };
        let start = sequence.dispatched;
        let end = sequence.len().min(start + draft.budget);
        let sampled = end == sequence.len();
        draft.budget -= end - start;
        draft.ranks.push(sequence.rank);
        draft.rows.push(StepRow { key, run: sequence.run, sampled });
        draft.batch.rows.push(SequenceRows {
            sequence: sequence.run,
            position: start,
            tokens: sequence.tokens(start..end),
            block_tables: vec![sequence.table.blocks().to_vec()],
            state_slot: sequence.slot,
            sample: if sampled { Sample::Yes { allowed: None } } else { Sample::No },
        });
        sequence.dispatched = end;
        sequence.steps_in_flight += 1;
        sequence.sample_in_flight = sampled;
        sequence.last_step = Some(draft.batch.step);
    }
}
