//! The one call of the planner: members that may be used now, and what the deployment promises.

use std::collections::BTreeSet;

use partitioner::{Candidate, Cluster, Objective, PlanError, Planned, StageCount};
use protocol::admin::DeployOptions;
use protocol::ids::NodeId;
use protocol::model_spec::ModelSpec;
use protocol::node_profile::LinkProfile;

use crate::state::{Model, State};

/// Plans `model` on the workers that `usable` accepts, without the links in `down`.
pub fn place(
    state: &State,
    model: &Model,
    objective: &Objective,
    usable: &dyn Fn(NodeId) -> bool,
    down: &BTreeSet<(NodeId, NodeId)>,
) -> Result<Planned, PlanError> {
    let mut cluster = candidates(state, usable, down);
    subtract_others(&mut cluster, state, model);
    partitioner::plan(&model.spec, model.manifest, &cluster, objective)
}

/// What replaces a plan that a loss broke: an answer in fewer stages beats none in so many.
pub fn objective_after_loss(spec: &ModelSpec, options: &DeployOptions) -> Objective {
    let objective = objective(spec, options);
    let stages = options.stages.map_or(objective.stages, StageCount::Near);
    Objective { stages, ..objective }
}

pub fn objective(spec: &ModelSpec, options: &DeployOptions) -> Objective {
    let default = Objective::for_model(spec);
    Objective {
        context_length: options.context_length.unwrap_or(default.context_length),
        sequences_max: options.sequences_max.unwrap_or(default.sequences_max),
        step_tokens_max: options.step_tokens_max.unwrap_or(default.step_tokens_max),
        kv_type: options.kv_type.unwrap_or(default.kv_type),
        activation: options.activation.unwrap_or(default.activation),
        stages: options.stages.map_or(default.stages, StageCount::Exactly),
        kv_bytes_max: options.kv_bytes_max.or(default.kv_bytes_max),
        ..default
    }
}

/// The bytes that an error says are missing; 0 when memory is not what is missing.
pub fn missing_bytes(error: &PlanError) -> u64 {
    match error {
        PlanError::DoesNotFit { missing_bytes, .. }
        | PlanError::TooFewStages { missing_bytes, .. } => *missing_bytes,
        _ => 0,
    }
}

fn candidates(
    state: &State,
    usable: &dyn Fn(NodeId) -> bool,
    down: &BTreeSet<(NodeId, NodeId)>,
) -> Cluster {
    let mut nodes = Vec::new();
    for (node, member) in state.workers().filter(|(node, _)| usable(*node)) {
        let Some(mut profile) = member.profile.clone() else { continue };
        for (from, to) in down {
            if *from == node {
                let unmeasured =
                    LinkProfile { rtt_seconds: 0.0, bytes_per_second: 0.0, reachable: false };
                profile.links.entry(*to).or_insert(unmeasured).reachable = false;
            }
        }
        nodes.push(Candidate { node, name: member.name.clone(), profile });
    }
    // Ties go to the earlier node: by name, so that two clusters plan alike.
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Cluster { nodes }
}

/// What other deployments hold is not to be planned on; what this one holds is, as it moves.
fn subtract_others(cluster: &mut Cluster, state: &State, model: &Model) {
    for (name, deployment) in &state.deployments {
        let Some(other) = state.models.get(name).filter(|m| m.manifest != model.manifest) else {
            continue;
        };
        let Some(placement) = &deployment.placement else { continue };
        for booking in partitioner::booked(&placement.plan, &other.spec) {
            let node = cluster.nodes.iter_mut().find(|c| c.node == booking.node);
            let device = node.and_then(|c| c.profile.devices.get_mut(booking.device as usize));
            if let Some(device) = device {
                device.memory_usable_bytes =
                    device.memory_usable_bytes.saturating_sub(booking.bytes);
            }
        }
    }
}
