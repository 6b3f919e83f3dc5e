//! The rows and columns of a matrix that a rank holds.

use std::ops::Range;

use checkpoint::{StorageError, TensorPart, WeightType};

use crate::error::EngineError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Window {
    /// `part` of a matrix of the shape `whole`, which must be of the shape `shape`; columns are
    /// cut between blocks of `weight`.
    pub(super) fn of(
        name: &str,
        whole: [u64; 2],
        part: TensorPart,
        shape: [u64; 2],
        weight: WeightType,
    ) -> Result<Self, EngineError> {
        let (rows, columns) = match part {
            TensorPart::Whole => (0..whole[0], 0..whole[1]),
            TensorPart::Rows(rows) => (rows, 0..whole[1]),
            TensorPart::Columns(columns) => (0..whole[0], columns),
            TensorPart::Nothing => (0..0, 0..whole[1]),
        };
        let found = [&rows, &columns].map(|range| range.end.saturating_sub(range.start));
        if found != shape || rows.end > whole[0] || columns.end > whole[1] {
            let (found, expected) = (found.to_vec(), shape.to_vec());
            return Err(
                StorageError::WrongShape { tensor: name.to_owned(), found, expected }.into()
            );
        }
        let block = weight.block_elements();
        if !columns.start.is_multiple_of(block) || !columns.end.is_multiple_of(block) {
            let columns = columns.end - columns.start;
            let name = name.to_owned();
            return Err(EngineError::BadColumns { name, weight, columns, block });
        }
        let narrow = |range: Range<u64>| range.start as usize..range.end as usize;
        Ok(Self { rows: narrow(rows), columns: narrow(columns) })
    }
}
