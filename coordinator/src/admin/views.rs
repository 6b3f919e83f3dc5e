//! Replicated and live state as the bodies of the admin API.

use std::time::Duration;

use partitioner::{PlanError, Planned};
use protocol::admin::{
    API_VERSION, DeploymentState, DeploymentView, List, ModelView, NodeState, NodeView, PlanView,
    PlannedStage, RankView, ShardView, StageView,
};
use protocol::control::Role;
use protocol::ids::{NodeId, ReplicaId};
use protocol::model_spec::LayerRange;
use protocol::node_profile::DeviceProfile;
use protocol::plan::RankPlan;
use protocol::shard::{ShardState, ShardStatus};

use super::Admin;
use crate::reconcile::{LiveView, placement};
use crate::state::{Deployment, Member, Model, Placement, Rollout, State};

pub(super) fn list<T>(kind: &str, items: Vec<T>) -> List<T> {
    List { api_version: API_VERSION.to_owned(), kind: kind.to_owned(), items }
}

pub(super) fn node(admin: &Admin, state: &State, id: NodeId, member: &Member) -> NodeView {
    let live = admin.live();
    let now = admin.origin.elapsed();
    let seen = match live.nodes.get(&id) {
        Some(node) => Seen {
            state: node.state,
            reason: node.reason.clone(),
            next: node.next.clone(),
            since: node.since,
        },
        None if member.role == Role::Coordinator => coordinator(admin, id, now),
        None => Seen::joining("has not connected yet", "ready once it connects", now),
    };
    let asked = matches!(seen.state, NodeState::Cordoned | NodeState::Draining);
    let since = member.duty.since().filter(|_| asked);
    let shards = live.nodes.get(&id).map(|n| n.shards.as_slice()).unwrap_or_default();
    NodeView {
        id,
        name: member.name.clone(),
        roles: vec![member.role],
        state: seen.state,
        reason: seen.reason,
        next: seen.next,
        since: since.unwrap_or_else(|| admin.wall(seen.since)).to_string(),
        joined_at: member.joined_at.to_string(),
        version: version(member),
        profile: member.profile.clone(),
        memory_used_bytes: live.nodes.get(&id).map_or(0, |n| n.memory_used_bytes),
        shards: shards.iter().filter_map(|s| shard(state, id, s)).collect(),
        labels: member.labels.clone(),
    }
}

/// A node's state and the words to it.
struct Seen {
    state: NodeState,
    reason: String,
    next: String,
    /// On the driver's clock.
    since: Duration,
}

impl Seen {
    fn joining(reason: &str, next: &str, since: Duration) -> Self {
        let (reason, next) = (reason.to_owned(), next.to_owned());
        Self { state: NodeState::Joining, reason, next, since }
    }
}

/// Workers say it with their profile, coordinators with their endpoint.
fn version(member: &Member) -> String {
    let worker = member.profile.as_ref().map(|profile| &profile.version);
    let told = worker.or(member.endpoint.as_ref().map(|endpoint| &endpoint.version));
    told.cloned().unwrap_or_default()
}

/// Coordinators send no heartbeats to each other but Raft's, and only the leader sees those.
fn coordinator(admin: &Admin, id: NodeId, now: Duration) -> Seen {
    let raft = admin.consensus.status();
    let ready = |reason: &str, next: &str| {
        let (reason, next) = (reason.to_owned(), next.to_owned());
        Seen { state: NodeState::Ready, reason, next, since: Duration::ZERO }
    };
    let part = if raft.voters.contains(&id) {
        ready("voter", "")
    } else if raft.learners.contains(&id) {
        ready("learner", "votes once the number of coordinators is odd")
    } else {
        return Seen::joining("not in the Raft group yet", "the leader adds it", now);
    };
    match admin.consensus.silence_of(id) {
        Some(silence) => Seen {
            state: NodeState::Lost,
            reason: format!("silent for {:.0} s", silence.as_secs_f64()),
            next: "takes part again as soon as it answers the leader".to_owned(),
            since: now.saturating_sub(silence),
        },
        None if raft.leader == Some(id) => ready("leader", ""),
        None => part,
    }
}

fn shard(state: &State, node: NodeId, status: &ShardStatus) -> Option<ShardView> {
    let (model, deployment) = state.replica(status.replica)?;
    let placement = deployment.placement.as_ref()?;
    Some(ShardView {
        model: model.clone(),
        replica: status.replica,
        epoch: status.epoch,
        layers: layers_of(placement, node)?,
        state: status.state.clone(),
    })
}

fn layers_of(placement: &Placement, node: NodeId) -> Option<LayerRange> {
    let mut stages = placement.plan.stages().iter();
    stages.find(|s| s.ranks.iter().any(|r| r.node == node)).map(|s| s.layers)
}

pub(super) fn model(state: &State, live: &LiveView, name: &str, model: &Model) -> ModelView {
    let holder = |node: &NodeId| state.members.get(node).map(|m| m.name.clone());
    let deployed = state.deployments.get(name);
    ModelView {
        name: name.to_owned(),
        manifest: model.manifest,
        spec: model.spec.clone(),
        weight_bytes: model.weight_bytes,
        imported_at: model.imported_at.to_string(),
        holders: model.holders.iter().filter_map(holder).collect(),
        deployment: deployed.map(|d| deployment(state, live, name, d)),
    }
}

pub(super) fn deployment(
    state: &State,
    live: &LiveView,
    name: &str,
    deployment: &Deployment,
) -> DeploymentView {
    let placement = deployment.placement.as_ref();
    let stages = placement.map(|p| stages(state, live, name, deployment.replica, p));
    DeploymentView {
        model: name.to_owned(),
        state: deployment.rollout.state,
        reason: reason(deployment),
        since: deployment.rollout.since.to_string(),
        options: deployment.options.clone(),
        replica: deployment.replica,
        epoch: deployment.epoch(),
        stages: stages.unwrap_or_default(),
    }
}

/// A plan made after a loss may have other stages than were asked for.
fn reason(deployment: &Deployment) -> String {
    let Rollout { state, reason, .. } = &deployment.rollout;
    let plan = deployment.placement.as_ref().map(|p| &p.plan);
    let stages = plan.map(|plan| plan.stages().len() as u32);
    let asked = &deployment.options.tp;
    let ranks: Vec<u32> = plan
        .map(|plan| plan.stages().iter().map(|stage| stage.ranks.len() as u32).collect())
        .unwrap_or_default();
    let same = match asked.as_slice() {
        [] => true,
        [all] => ranks.iter().all(|count| count == all),
        each => ranks == each,
    };
    if !same && !ranks.is_empty() && *state == DeploymentState::Ready {
        return format!(
            "stages of {ranks:?} ranks since a node was lost, {asked:?} were asked for: running \
             answers may go on with other words"
        );
    }
    match (stages, deployment.options.stages) {
        (Some(count), Some(asked)) if count != asked && *state == DeploymentState::Ready => {
            format!("in {count} stages since a node was lost, {asked} were asked for")
        }
        _ => reason.clone(),
    }
}

fn stages(
    state: &State,
    live: &LiveView,
    name: &str,
    replica: ReplicaId,
    placement: &Placement,
) -> Vec<StageView> {
    let spec = state.models.get(name).map(|m| &m.spec);
    let kv = placement.plan.kv();
    let rank = |layers: LayerRange, rank: &RankPlan| {
        let RankPlan { node, device, share } = *rank;
        let shards = live.nodes.get(&node).map(|n| n.shards.as_slice()).unwrap_or_default();
        let member = state.members.get(&node);
        let profile = member.and_then(|m| m.profile.as_ref()?.devices.get(device as usize));
        let same = |s: &&ShardStatus| s.replica == replica && s.epoch == placement.epoch;
        RankView {
            node,
            name: member.map_or_else(|| node.short(), |m| m.name.clone()),
            device,
            device_name: profile.map(DeviceProfile::label).unwrap_or_default(),
            share,
            state: shards
                .iter()
                .find(same)
                .map(|s: &ShardStatus| -> ShardState { s.state.clone() }),
            weight_bytes: spec.map_or(0, |s| s.share_weight_bytes(layers, share)),
            kv_bytes: spec.map_or(0, |s| s.of_share(share).state_bytes(layers, &kv)),
        }
    };
    let view = |stage: &protocol::plan::StagePlan| {
        let layers = stage.layers;
        let ranks: Vec<_> = stage.ranks.iter().map(|r| rank(layers, r)).collect();
        let RankView { node, name, state, weight_bytes, kv_bytes, .. } = ranks.first()?.clone();
        Some(StageView { node, name, layers, state, weight_bytes, kv_bytes, ranks })
    };
    placement.plan.stages().iter().filter_map(view).collect()
}

pub(super) fn plan(model: &str, planned: &Planned) -> PlanView {
    let kv = planned.plan.kv();
    let count = planned.stages.len();
    let rate = planned.prediction.tokens_per_second;
    let names: Vec<_> = planned.stages.iter().map(names_of).collect();
    let split = if count == 1 { "on".to_owned() } else { format!("in {count} stages on") };
    let alternative = |a: &partitioner::Alternative| {
        format!("{}: {:.1} ms per token", a.description, a.seconds_per_token * 1e3)
    };
    PlanView {
        model: model.to_owned(),
        fits: true,
        summary: format!("{split} {}: {rate:.1} tokens/s", names.join(", ")),
        missing_bytes: 0,
        stages: planned.stages.clone(),
        predicted_tokens_per_second: rate,
        predicted_ttft_seconds: planned.prediction.ttft_seconds,
        context_length: kv.context_length,
        sequences_max: kv.sequences_max,
        kv_blocks: kv.blocks,
        block_size: kv.block_size,
        alternatives: planned.alternatives.iter().map(alternative).collect(),
    }
}

/// E.g. `a1`, or `a1+b2` for the ranks of a group.
fn names_of(stage: &PlannedStage) -> String {
    let names: Vec<_> = stage.ranks.iter().map(|rank| rank.name.as_str()).collect();
    names.join("+")
}

pub(super) fn no_plan(model: &str, error: &PlanError) -> PlanView {
    PlanView {
        model: model.to_owned(),
        fits: false,
        summary: error.to_string(),
        missing_bytes: placement::missing_bytes(error),
        stages: Vec::new(),
        predicted_tokens_per_second: 0.0,
        predicted_ttft_seconds: 0.0,
        context_length: 0,
        sequences_max: 0,
        kv_blocks: 0,
        block_size: 0,
        alternatives: Vec::new(),
    }
}
