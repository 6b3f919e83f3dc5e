//! The header of an activation frame: what the raw bytes behind it are.

use wincode::{SchemaRead, SchemaWrite};

use crate::ids::RankIndex;
use crate::plan::ActivationType;
use crate::step_batch::StepBatch;

/// Metadata of a `Step` frame on a pipeline edge; the body is `rows x hidden` values.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct ActivationHeader {
    pub from: RankIndex,
    pub rows: u32,
    pub hidden_size: u32,
    pub element: ActivationType,
    /// Compute time of each stage so far, microseconds.
    pub stage_micros: Vec<u32>,
    pub batch: StepBatch,
}

impl ActivationHeader {
    /// Length that the frame's body must have.
    pub fn body_bytes(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.hidden_size) * self.element.bytes() as u64
    }
}
