//! Bytes that a rank takes on its device.

use protocol::model_spec::{LayerRange, ModelSpec};
use protocol::plan::Share;

use crate::objective::Objective;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StageBytes {
    pub weights: u64,
    pub workspace: u64,
    pub kv_per_block: u64,
    /// Slots of all sequences, for layers with a recurrent state.
    pub slots: u64,
}

impl StageBytes {
    /// Of the rank of `share` in a stage of `range`.
    pub(crate) fn of(
        spec: &ModelSpec,
        share: Share,
        range: LayerRange,
        objective: &Objective,
    ) -> Self {
        let local = spec.of_share(share);
        let last = range.end.0 == spec.layer_count();
        let sampled = if last { u64::from(objective.sequences_max) } else { 0 };
        Self {
            weights: spec.share_weight_bytes(range, share),
            workspace: local.workspace_bytes(objective.step_tokens_max.into(), sampled),
            kv_per_block: local.kv_bytes_per_token(range, objective.kv_type)
                * u64::from(objective.block_size),
            slots: local.slot_bytes(range).saturating_mul(objective.sequences_max.into()),
        }
    }

    /// With the smallest pool that keeps the promise: one sequence of full length.
    pub(crate) fn least(&self, objective: &Objective) -> u64 {
        self.weights
            + self.workspace
            + self.slots
            + self.kv_per_block * u64::from(objective.blocks_per_sequence())
    }

    /// Blocks that fit beside weights, workspace and slots, up to what all sequences can ever use.
    pub(crate) fn blocks(&self, usable: u64, objective: &Objective) -> u32 {
        let most = u64::from(objective.blocks_per_sequence()) * u64::from(objective.sequences_max);
        let room = usable.saturating_sub(self.weights + self.workspace + self.slots);
        let room = room.min(objective.kv_bytes_max.unwrap_or(u64::MAX));
        let blocks = room.checked_div(self.kv_per_block).unwrap_or(most).min(most);
        u32::try_from(blocks).unwrap_or(u32::MAX)
    }
}
