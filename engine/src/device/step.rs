//! What all layers of a step need to know of its rows, on the device.

use candle_core::{Device, Tensor};
use protocol::ids::BlockId;
use protocol::step_batch::StepBatch;

use super::rotation::Rotation;
use crate::layers::Rope;

/// A checked step batch as the layers see it.
pub(super) struct Step {
    pub(super) rows: usize,
    pub(super) rotations: Vec<Rotation>,
    /// The slot of each row.
    // [rows]
    pub(super) slots: Tensor,
    pub(super) sequences: Vec<SequenceStep>,
    /// Embedded tokens, where layers make something of them themselves.
    // [rows, hidden]
    pub(super) embedded: Option<Tensor>,
}

/// The rows of one sequence, which stand together.
pub(super) struct SequenceStep {
    pub(super) first_row: usize,
    pub(super) rows: usize,
    /// Position of the first of them.
    pub(super) position: usize,
    /// The slots of all positions up to the last row's.
    // [position + rows]
    pub(super) slots: Tensor,
}

impl Step {
    pub(super) fn of(
        batch: &StepBatch,
        ropes: &[Rope],
        block_size: u32,
        device: &Device,
    ) -> candle_core::Result<Self> {
        let rows = batch.token_count();
        let (mut all, mut sequences) = (Vec::with_capacity(rows), Vec::new());
        for set in &batch.rows {
            let table: &[BlockId] = set.block_tables.first().map_or(&[], |table| table);
            let (position, count) = (set.position as usize, set.tokens.len());
            let slot = |at: usize| {
                let at = at as u32;
                table[(at / block_size) as usize].0 * block_size + at % block_size
            };
            let slots: Vec<u32> = (0..position + count).map(slot).collect();
            all.extend_from_slice(&slots[position..]);
            let slots = Tensor::from_vec(slots, position + count, device)?;
            let first_row = all.len() - count;
            sequences.push(SequenceStep { first_row, rows: count, position, slots });
        }
        let rotations = ropes.iter().map(|rope| Rotation::of(rope, rows, device));
        let rotations = rotations.collect::<Result<_, _>>()?;
        let slots = Tensor::from_vec(all, rows, device)?;
        Ok(Self { rows, rotations, slots, sequences, embedded: None })
    }
}
