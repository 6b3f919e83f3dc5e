//! A weight matrix as rows of blocks, as a device takes it.

use checkpoint::WeightType;

use super::rows::MatrixRows;
use crate::error::EngineError;

/// Rows of whole blocks of one type.
pub(crate) struct Blocks {
    pub(crate) weight: WeightType,
    /// Rows and columns.
    pub(crate) shape: [usize; 2],
    pub(crate) bytes: Vec<u8>,
    /// Which column stands at each place of a row, where they are not in their own order.
    pub(crate) order: Option<Vec<u32>>,
}

impl Blocks {
    pub(super) fn read(from: &dyn MatrixRows) -> Result<Self, EngineError> {
        let (weight, shape) = (from.weight(), from.shape());
        let row_blocks = shape[1] as u64 / weight.block_elements();
        let size = shape[0] as u64 * row_blocks * weight.block_bytes();
        let mut bytes = Vec::new();
        let no_memory = |_| EngineError::OutOfMemory { what: "weights", bytes: size };
        bytes.try_reserve_exact(size as usize).map_err(no_memory)?;
        bytes.resize(size as usize, 0);
        from.read(0, &mut bytes, &mut Vec::new())?;
        Ok(Self { weight, shape, bytes, order: from.order().map(<[u32]>::to_vec) })
    }
}
