//! Rows of a step that a block of the attention kernel takes together.

use candle_core::Tensor;

use super::step::SequenceStep;
use super::target::Target;

/// Positions of a span of the attention kernel.
pub(super) const SPAN: usize = 128;
/// Queries of a block of it: rows times heads.
pub(super) const QUERIES: usize = 8;

/// The rows of every sequence, in order.
pub(super) struct Tiles {
    pub(super) list: Vec<Tile>,
    /// First row, rows, position of the first, sequence.
    // [tiles, 4]
    pub(super) tensor: Tensor,
}

/// Rows of one sequence.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) first_row: usize,
    pub(super) rows: usize,
    position: usize,
}

impl Tiles {
    pub(super) fn of(
        sequences: &[SequenceStep],
        size: usize,
        target: &Target,
    ) -> candle_core::Result<Self> {
        let (mut list, mut words) = (Vec::new(), Vec::new());
        for (index, sequence) in sequences.iter().enumerate() {
            for first in (0..sequence.rows).step_by(size) {
                let tile = Tile {
                    first_row: sequence.first_row + first,
                    rows: size.min(sequence.rows - first),
                    position: sequence.position + first,
                };
                words.extend([tile.first_row, tile.rows, tile.position, index].map(|x| x as u32));
                list.push(tile);
            }
        }
        let tensor = Tensor::from_vec(words, (list.len(), 4), &target.device)?;
        Ok(Self { list, tensor })
    }
}

impl Tile {
    /// Spans that any of its rows sees, with a window of so many positions.
    pub(super) fn spans(&self, window: Option<u32>) -> usize {
        let start = window.map_or(0, |window| (self.position + 1).saturating_sub(window as usize));
        (self.position + self.rows - 1) / SPAN - start / SPAN + 1
    }
}
