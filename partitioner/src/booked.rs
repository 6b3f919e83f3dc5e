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
        bookings.extend(stage.ranks.iter().map(|rank| {
            let local = spec.of_share(rank.share);
            let bytes = spec.share_weight_bytes(stage.layers, rank.share)
                + local.workspace_bytes(kv.step_tokens_max.into(), sampled.into())
                + local.state_bytes(stage.layers, &kv);
            Booking { node: rank.node, device: rank.device, bytes }
        }));
    }
    bookings
}
