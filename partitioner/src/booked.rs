//! The memory that a plan takes on each device.

use protocol::ids::NodeId;
use protocol::model_spec::ModelSpec;
use protocol::plan::Plan;

/// Weights, sequence state and workspace of one rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booking {
    pub node: NodeId,
    pub device: u32,
    pub bytes: u64,
}

/// What `plan` takes, a line per rank in the plan's order; `spec` is its model.
pub fn booked(plan: &Plan, spec: &ModelSpec) -> Vec<Booking> {
    let kv = plan.kv();
    let mut bookings = Vec::new();
    for stage in plan.stages() {
        let last = stage.layers.end.0 == spec.layer_count();
        let sampled = if last { kv.sequences_max } else { 0 };
        let bytes = spec.stage_weight_bytes(stage.layers)
            + spec.workspace_bytes(kv.step_tokens_max.into(), sampled.into())
            + spec.state_bytes(stage.layers, &kv);
        let rank = |r: &protocol::plan::RankPlan| Booking { node: r.node, device: r.device, bytes };
        bookings.extend(stage.ranks.iter().map(rank));
    }
    bookings
}
