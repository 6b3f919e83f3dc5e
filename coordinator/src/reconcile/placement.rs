//! The one call of the planner: members that may be used now, and what the deployment promises.

use std::collections::BTreeSet;

use partitioner::{Candidate, Cluster, Degrees, Objective, PlanError, Planned, StageCount};
use protocol::admin::DeployOptions;
use protocol::ids::{Epoch, NodeId, ReplicaId};
use protocol::model_spec::ModelSpec;
use protocol::node_profile::LinkProfile;
use protocol::plan::Plan;

use crate::state::{Deployment, Model, Placement, State};

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

/// A deployment on its way off a node.
pub struct Move {
    pub model: String,
    pub replica: ReplicaId,
    pub expected: Option<Epoch>,
    /// Layers that the node holds now.
    pub layers: u32,
    pub planned: Result<Planned, PlanError>,
}

/// Whether any committed plan needs `node`.
pub fn runs_on(state: &State, node: NodeId) -> bool {
    let needs =
        |d: &Deployment| d.placement.as_ref().is_some_and(|p| p.plan.nodes().contains(&node));
    state.deployments.values().any(needs)
}

/// Plans each model that runs on `node` without it, one after the other: each plan leaves room for
/// those before it. `usable` is told whether the model is on the node in question already.
pub fn without_node(
    state: &State,
    node: NodeId,
    usable: &dyn Fn(NodeId, bool) -> bool,
) -> Vec<Move> {
    let mut then = state.clone();
    let mut moves = Vec::new();
    for (name, deployment) in &state.deployments {
        let Some(placement) = &deployment.placement else { continue };
        if !placement.plan.nodes().contains(&node) {
            continue;
        }
        let Some(model) = state.models.get(name).filter(|m| m.manifest == deployment.manifest)
        else {
            continue;
        };
        let objectives = objectives_after_loss(&model.spec, &deployment.options, &placement.plan);
        let held = placement.plan.nodes();
        let may = |other: NodeId| other != node && usable(other, held.contains(&other));
        let planned = place_first(&then, model, &objectives, &may, &BTreeSet::new());
        if let Ok(planned) = &planned
            && let Some(after) = then.deployments.get_mut(name)
        {
            let (epoch, plan) = (placement.epoch, planned.plan.clone());
            after.placement = Some(Placement { epoch, plan });
        }
        let stages = placement.plan.stages().iter();
        let on_node = stages.filter(|s| s.ranks.iter().any(|r| r.node == node));
        let layers = on_node.map(|s| s.layers.count()).sum();
        let (replica, expected) = (deployment.replica, deployment.epoch());
        moves.push(Move { model: name.clone(), replica, expected, layers, planned });
    }
    moves
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
