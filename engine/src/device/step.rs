//! What all layers of a step need to know of its rows, on the device.

use std::cell::OnceCell;

use candle_core::Tensor;
use protocol::step_batch::StepBatch;

use super::rotation::Rotation;
use super::target::Target;
use super::tiles::{QUERIES, Tiles};
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
    /// Of each row.
    // [rows]
    pub(super) positions: Tensor,
    /// Block ids, the sequences' tables beside each other.
    // [sequences, table_width]
    pub(super) tables: Tensor,
    target: Target,
    /// By the rows of a tile less one.
    tiles: [OnceCell<Tiles>; QUERIES],
}

/// The rows of one sequence, which stand together.
pub(super) struct SequenceStep {
    pub(super) first_row: usize,
    pub(super) rows: usize,
    /// Position of the first of them.
    pub(super) position: usize,
}

impl Step {
    pub(super) fn of(
        batch: &StepBatch,
        ropes: &[Rope],
        block_size: u32,
        target: &Target,
    ) -> candle_core::Result<Self> {
        let (rows, device) = (batch.token_count(), &target.device);
        let blocks = |end: usize| end.div_ceil(block_size as usize);
        let ends = batch.rows.iter().map(|set| set.position as usize + set.tokens.len());
        let width = ends.map(blocks).max().unwrap_or(0);
        let mut tables = vec![0; batch.rows.len() * width];
        let (mut slots, mut positions) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut sequences = Vec::with_capacity(batch.rows.len());
        for (set, row) in batch.rows.iter().zip(tables.chunks_exact_mut(width.max(1))) {
            let table = set.block_tables.first().map_or(&[][..], |table| &table[..]);
            row.iter_mut().zip(table).for_each(|(place, block)| *place = block.0);
            let (first, count) = (set.position, set.tokens.len());
            sequences.push(SequenceStep {
                first_row: positions.len(),
                rows: count,
                position: first as usize,
            });
            for at in first..first + count as u32 {
                positions.push(at);
                slots.push(row[(at / block_size) as usize] * block_size + at % block_size);
            }
        }
        let rotations = ropes.iter().map(|rope| Rotation::of(rope, rows, target));
        Ok(Self {
            rows,
            rotations: rotations.collect::<Result<_, _>>()?,
            slots: Tensor::from_vec(slots, rows, device)?,
            tables: Tensor::from_vec(tables, (sequences.len(), width), device)?,
            positions: Tensor::from_vec(positions, rows, device)?,
            sequences,
            embedded: None,
            target: target.clone(),
            tiles: Default::default(),
        })
    }

    /// The rows in tiles of up to `size` rows.
    pub(super) fn tiles(&self, size: usize) -> candle_core::Result<&Tiles> {
        let place = &self.tiles[size - 1];
        if let Some(tiles) = place.get() {
            return Ok(tiles);
        }
        let tiles = Tiles::of(&self.sequences, size, &self.target)?;
        Ok(place.get_or_init(|| tiles))
    }
}
