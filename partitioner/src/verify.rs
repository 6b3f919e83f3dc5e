//! Checks a plan against the facts it was made from, without the planner's own tables.

use protocol::model_spec::ModelSpec;
use protocol::plan::Plan;

use crate::booked::{Booking, booked};
use crate::cluster::Cluster;

/// Every broken promise of `plan`, as sentences; empty when it holds.
pub fn verify(plan: &Plan, spec: &ModelSpec, cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    if plan.layer_count() != spec.layer_count() {
        faults.push(format!("plans {} layers of {}", plan.layer_count(), spec.layer_count()));
        return faults;
    }
    for stage in plan.stages().iter().filter(|stage| !spec.can_cut(stage.layers.start)) {
        faults.push(format!("{} reads keys of layers before it", stage.layers));
    }
    let kv = plan.kv();
    if u64::from(kv.blocks) * u64::from(kv.block_size) < u64::from(kv.context_length) {
        faults.push("the KV pool is shorter than one sequence".to_owned());
    }
    for Booking { node, device, bytes } in booked(plan, spec) {
        let found = cluster.nodes.iter().find(|c| c.node == node);
        let device = found.and_then(|c| c.profile.devices.get(device as usize));
        let usable = device.map_or(0, |d| d.memory_usable_bytes);
        if bytes > usable {
            faults.push(format!("node {} must hold {bytes} bytes of {usable}", node.short()));
        }
    }
    for edge in plan.edges() {
        let node = |rank| {
            let (_, rank) = plan.rank(rank)?;
            cluster.nodes.iter().find(|c| c.node == rank.node)
        };
        if let (Some(from), Some(to)) = (node(edge.from), node(edge.to))
            && !cluster.link(from, to).reachable
        {
            faults.push(format!("edge {} to {} is not reachable", edge.from, edge.to));
        }
    }
    faults
}
