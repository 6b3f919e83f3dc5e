//! What must be true of a scheduler between two events; checked after every step in debug builds.

use std::collections::BTreeMap;

use super::event::StreamKey;
use super::sequence::Sequence;
use super::{Phase, Scheduler};

impl Scheduler {
    /// Says which invariant does not hold.
    pub fn check(&self) -> Result<(), String> {
        self.check_places()?;
        self.check_blocks()?;
        self.check_slots()?;
        self.check_in_flight()?;
        if matches!(self.phase, Phase::Lost { .. } | Phase::Stopped) && !self.is_idle() {
            return Err("something is left after the end".to_owned());
        }
        Ok(())
    }

    /// Every sequence stands in exactly one place, and those places name nobody else.
    fn check_places(&self) -> Result<(), String> {
        let places = self.running.len() + self.waiting.len() as usize;
        if places != self.sequences.len() {
            return Err(format!("{places} places for {} sequences", self.sequences.len()));
        }
        let running = self.running.iter().map(|(rank, key)| (*rank, *key));
        for (rank, key) in running.clone().chain(self.waiting.iter()) {
            if self.sequences.get(&key).is_none_or(|s| s.rank != rank || s.key != key) {
                return Err(format!("{key:?} is in a place that is not its own"));
            }
        }
        if running.count() > self.config.sequences_max() as usize {
            return Err(format!("{} sequences run", self.running.len()));
        }
        Ok(())
    }

    /// Free and held blocks together are all blocks, each exactly once.
    fn check_blocks(&self) -> Result<(), String> {
        let mut seen = vec![false; self.blocks.total() as usize];
        let tables = self.sequences.values().flat_map(|s| s.table.blocks());
        for block in self.blocks.free_ids().iter().chain(tables) {
            match seen.get_mut(block.0 as usize) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(format!("block {block} has two owners, or does not exist")),
            }
        }
        if let Some(lost) = seen.iter().position(|seen| !seen) {
            return Err(format!("block {lost} has no owner"));
        }
        Ok(())
    }

    /// Where a model keeps states in slots, each that runs has one, and nobody else.
    fn check_slots(&self) -> Result<(), String> {
        let mut seen = vec![false; self.slots.total() as usize];
        let held = self.sequences.values().filter_map(|s| s.slot.as_ref());
        for slot in self.slots.free_ids().iter().chain(held) {
            match seen.get_mut(slot.0 as usize) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(format!("slot {slot} has two owners, or does not exist")),
            }
        }
        if let Some(lost) = seen.iter().position(|seen| !seen) {
            return Err(format!("slot {lost} has no owner"));
        }
        let wrong = |s: &&Sequence| {
            s.slot.is_some() != (self.config.recurrent && self.running.contains_key(&s.rank))
        };
        match self.sequences.values().find(wrong) {
            Some(sequence) => Err(format!("{:?} has slot {:?}", sequence.key, sequence.slot)),
            None => Ok(()),
        }
    }

    fn check_in_flight(&self) -> Result<(), String> {
        if self.in_flight.len() > self.config.stages.max(1) {
            return Err(format!("{} batches in flight", self.in_flight.len()));
        }
        let mut counts: BTreeMap<StreamKey, (u32, u32)> = BTreeMap::new();
        for row in self.in_flight.iter().flat_map(|step| &step.rows) {
            let (steps, samples) = counts.entry(row.key).or_default();
            *steps += 1;
            *samples += u32::from(row.sampled);
        }
        for sequence in self.sequences.values() {
            let counted = counts.get(&sequence.key).copied().unwrap_or_default();
            self.check_sequence(sequence, counted)?;
        }
        Ok(())
    }

    fn check_sequence(&self, sequence: &Sequence, counted: (u32, u32)) -> Result<(), String> {
        let key = sequence.key;
        if counted != (sequence.steps_in_flight, u32::from(sequence.sample_in_flight)) {
            return Err(format!(
                "{key:?} has {counted:?} steps and samples in flight, unlike told"
            ));
        }
        let held = sequence.table.blocks().len() as u32;
        if !self.running.contains_key(&sequence.rank) {
            return if held == 0 { Ok(()) } else { Err(format!("{key:?} waits with blocks")) };
        }
        let known = sequence.len();
        let wanted = self.blocks.blocks_for(sequence.dispatched)..=self.blocks.blocks_for(known);
        if !wanted.contains(&held) || sequence.dispatched > known {
            return Err(format!("{key:?} holds {held} blocks for {known} tokens"));
        }
        if known >= self.config.sequence_tokens_max() {
            return Err(format!("{key:?} runs on with {known} tokens"));
        }
        Ok(())
    }
}
