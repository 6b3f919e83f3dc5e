//! Slots for the states of recurrent layers: who may write where. The values belong to the stages.

use protocol::ids::StateSlot;

/// One for each sequence that may run; none for a model that keeps no such state. As with blocks,
/// an id may go out again in the very next batch: its first row, at position 0, begins anew.
#[derive(Debug)]
pub(super) struct StateSlots {
    total: u32,
    free: Vec<StateSlot>,
}

impl StateSlots {
    pub(super) fn new(total: u32) -> Self {
        Self { total, free: (0..total).rev().map(StateSlot).collect() }
    }

    pub(super) fn take(&mut self) -> Option<StateSlot> {
        self.free.pop()
    }

    /// Takes a slot back, if there is one.
    pub(super) fn give_back(&mut self, slot: &mut Option<StateSlot>) {
        self.free.extend(slot.take());
    }

    pub(super) fn free_ids(&self) -> &[StateSlot] {
        &self.free
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }
}
