//! What a scheduler is told once, when an epoch begins.

use std::time::Duration;

use protocol::ids::{Epoch, ReplicaId};
use protocol::plan::KvPlan;

/// A step's predicted time through all stages stays at or below this, so that a cancel takes
/// effect, and a new request gets its turn, within a quarter of a second.
pub const STEP_TARGET: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerConfig {
    pub replica: ReplicaId,
    pub epoch: Epoch,
    pub kv: KvPlan,
    /// Stages of the pipeline; also the most batches in flight.
    pub stages: u32,
    /// Token ids must be below this.
    pub vocab_size: u32,
    /// Some layer keeps its state in a slot.
    pub recurrent: bool,
    /// Sequences that may wait; above it a new request is refused with `QueueFull`.
    pub waiting_max: u32,
    /// `STEP_TARGET`, unless a test says otherwise.
    pub step_target: Duration,
    /// A step without a result for this long means that the pipeline is lost.
    pub step_timeout: Duration,
}

impl SchedulerConfig {
    /// Sequences that run at once.
    pub fn sequences_max(&self) -> u32 {
        self.kv.sequences_max.max(1)
    }

    /// Most tokens of one sequence, prompt and answer together.
    pub fn sequence_tokens_max(&self) -> u32 {
        self.kv.context_length.min(self.kv.blocks.saturating_mul(self.kv.block_size))
    }
}
