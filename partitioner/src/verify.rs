//! Checks a plan against the facts it was made from, without the planner's own tables.

use protocol::model_spec::ModelSpec;
use protocol::plan::Plan;

use crate::cluster::Cluster;

/// Every broken promise of `plan`, as sentences; empty when it holds.
pub fn verify(plan: &Plan, spec: &ModelSpec, cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    if plan.layer_count() != spec.layer_count() {
        faults.push(format!("plans {} layers of {}", plan.layer_count(), spec.layer_count()));
        return faults;
    }
    let kv = plan.kv();
    if u64::from(kv.blocks) * u64::from(kv.block_size) < u64::from(kv.context_length) {
        faults.push("the KV pool is shorter than one sequence".to_owned());
    }
    for (index, stage) in plan.stages().iter().enumerate() {
        let last = stage.layers.end.0 == spec.layer_count();
        let sampled = if last { kv.sequences_max } else { 0 };
        let pool = spec.kv_bytes_per_token(stage.layers, kv.kv_type)
            * u64::from(kv.block_size)
            * u64::from(kv.blocks);
        let needed = spec.stage_weight_bytes(stage.layers)
            + spec.workspace_bytes(kv.step_tokens_max.into(), sampled.into())
            + pool;
        for rank in &stage.ranks {
            let node = cluster.nodes.iter().find(|c| c.node == rank.node);
            let device = node.and_then(|c| c.profile.devices.get(rank.device as usize));
            let usable = device.map_or(0, |d| d.memory_usable_bytes);
            if needed > usable {
                faults.push(format!("stage {index} needs {needed} bytes of {usable}"));
            }
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
