//! The one call of the planner: members that may be used now, and what the deployment promises.

use std::collections::BTreeSet;

use partitioner::{Candidate, Cluster, Degrees, Objective, PlanError, Planned, StageCount};
use protocol::admin::DeployOptions;
use protocol::ids::NodeId;
use protocol::model_spec::ModelSpec;
use protocol::node_profile::LinkProfile;
use protocol::plan::Plan;

use crate::state::{Model, State};

/// More stages than any model has layers are refused by the planner.
const STAGES_MAX: u32 = 1024;

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

/// The plan of the first objective that has one; the error is the last one's.
pub fn place_first(
    state: &State,
    model: &Model,
    objectives: &[Objective],
    usable: &dyn Fn(NodeId) -> bool,
    down: &BTreeSet<(NodeId, NodeId)>,
) -> Result<Planned, PlanError> {
    let mut last = Err(PlanError::NoDevice);
    for objective in objectives {
        last = place(state, model, objective, usable, down);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// What may replace `plan`, which a loss broke, best first: groups of the same shares keep the
/// bits of running answers, and an answer in another shape beats none.
pub fn objectives_after_loss(
    spec: &ModelSpec,
    options: &DeployOptions,
    plan: &Plan,
) -> Vec<Objective> {
    let asked = objective(spec, options);
    let mut objectives = Vec::new();
    if plan.stages().iter().any(|stage| stage.ranks.len() > 1) {
        objectives.push(asked.in_shape_of(plan));
    }
    if options.tp.is_empty() {
        let stages = options.stages.map_or(asked.stages, StageCount::Near);
        objectives.push(Objective { stages, ..asked });
    } else {
        let (stages, degrees) = (StageCount::Fastest, Degrees::Choose);
        objectives.push(asked.clone());
        objectives.push(Objective { stages, degrees, ..asked });
    }
    objectives
}

/// Whoever asks for a number of stages or of ranks asks for one of the other, unless both are
/// given; of neither the planner chooses.
fn shape(options: &DeployOptions) -> (StageCount, Degrees) {
    match (options.stages, options.tp.as_slice()) {
        (None, []) => (StageCount::Fastest, Degrees::Choose),
        (Some(stages), []) => (StageCount::Exactly(stages), Degrees::One),
        (Some(stages), [all]) => (
            StageCount::Exactly(stages),
            Degrees::Each(vec![*all; stages.min(STAGES_MAX) as usize]),
        ),
        (stages, each) => {
            let stages = stages.unwrap_or(each.len() as u32);
            (StageCount::Exactly(stages), Degrees::Each(each.to_vec()))
        }
    }
}

pub fn objective(spec: &ModelSpec, options: &DeployOptions) -> Objective {
    let default = Objective::for_model(spec);
    let (stages, degrees) = shape(options);
    Objective {
        context_length: options.context_length.unwrap_or(default.context_length),
        sequences_max: options.sequences_max.unwrap_or(default.sequences_max),
        step_tokens_max: options.step_tokens_max.unwrap_or(default.step_tokens_max),
        kv_type: options.kv_type.unwrap_or(default.kv_type),
        activation: options.activation.unwrap_or(default.activation),
        stages,
        degrees,
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
                profile.links.entry(*to).or_insert(LinkProfile::DOWN).reachable = false;
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
