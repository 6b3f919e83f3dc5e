//! Desired against actual: turns what happens to workers into plans, epochs and shard commands.
//!
//! Pure: `step(event, now)` yields actions. Every coordinator runs one, so that a new leader knows
//! who is there; only the leader's acts. Decisions live in the log; what is lost with a leader
//! (backoffs, exclusions) only costs patience.

mod action;
mod config;
mod deployment;
mod desired;
mod drain;
mod event;
mod links;
mod liveness;
mod node_state;
mod operations;
pub mod placement;
mod registrations;
mod rollout;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::control::{CoordinatorMessage, Heartbeat, Registration};
use protocol::ids::{NodeId, ReplicaId};
use protocol::shard::{ReplicaLoad, ShardState, ShardStatus};

pub use self::action::Action;
pub use self::config::ReconcilerConfig;
pub use self::event::Event;
pub use self::view::{LiveView, NodeLive};

use self::desired::DesiredSets;
use self::drain::Drains;
use self::links::LinkProbes;
use self::liveness::Liveness;
use self::operations::OperationWatch;
use self::registrations::Registrations;
use self::rollout::RolloutTrack;
use crate::state::State;

pub struct Reconciler {
    /// What it began with.
    own: ReconcilerConfig,
    /// With the settings of the state that it holds.
    config: ReconcilerConfig,
    state: Arc<State>,
    leader: bool,
    started: Option<Duration>,
    liveness: Liveness,
    reports: BTreeMap<NodeId, Report>,
    registrations: Registrations,
    rollouts: BTreeMap<ReplicaId, RolloutTrack>,
    desired: DesiredSets,
    links: LinkProbes,
    operations: OperationWatch,
    drains: Drains,
}

/// What a worker last said of itself.
#[derive(Clone, Debug, Default)]
struct Report {
    shards: Vec<ShardStatus>,
    loads: Vec<ReplicaLoad>,
    memory_used_bytes: u64,
}

impl Reconciler {
    pub fn new(config: ReconcilerConfig) -> Self {
        Self {
            own: config.clone(),
            config,
            state: Arc::new(State::default()),
            leader: false,
            started: None,
            liveness: Liveness::default(),
            reports: BTreeMap::new(),
            registrations: Registrations::default(),
            rollouts: BTreeMap::new(),
            desired: DesiredSets::default(),
            links: LinkProbes::default(),
            operations: OperationWatch::default(),
            drains: Drains::default(),
        }
    }

    /// Takes in one event; `now` is the time since any fixed origin and never goes back.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let started = *self.started.get_or_insert(now);
        let mut actions = Vec::new();
        match event {
            Event::StateChanged(state) => self.adopt(state, started, now, &mut actions),
            Event::BecameLeader => self.lead(now),
            Event::BecameFollower => self.leader = false,
            Event::Registered { node, registration } => {
                self.register(node, *registration, now, &mut actions);
            }
            Event::Heartbeat { node, heartbeat } => {
                // Of a thousand workers five thousand come in a second: what follows from time
                // alone is done at the ticks.
                if !self.hear(node, heartbeat, now) {
                    return actions;
                }
            }
            Event::StreamLost { node } => self.liveness.stream_lost(node, now),
            Event::DataProgress { node } => self.liveness.shows_progress(node, now),
            Event::Answered { node } => self.liveness.answered(node, now),
            Event::LinkMeasured { node, peer, link } => {
                for track in self.rollouts.values_mut().filter(|_| link.reachable) {
                    track.link_measured(node, peer);
                }
                let change = self.links.measured(&self.state, node, peer, link);
                actions.extend(change.filter(|_| self.leader).map(Action::Propose));
            }
            Event::Tick => self.tick(now),
        }
        if self.leader {
            self.reconcile(now, &mut actions);
        }
        actions
    }

    pub fn view(&self, now: Duration) -> LiveView {
        let live = |(node, member)| (node, self.node_live(node, member, now));
        LiveView { nodes: self.state.workers().map(live).collect() }
    }

    fn adopt(
        &mut self,
        state: Arc<State>,
        started: Duration,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        if state.settings != self.state.settings {
            self.config = self.own.obeying(&state.settings);
        }
        let workers: Vec<_> = state.workers().map(|(node, _)| node).collect();
        for node in state.removed.difference(&self.state.removed) {
            let message = CoordinatorMessage::Removed;
            actions.push(Action::Send { node: *node, message });
        }
        if state.coordinators() != self.state.coordinators() {
            for node in workers.iter().filter(|n| self.liveness.is_attached(**n)) {
                actions.push(Action::Send { node: *node, message: coordinators(&state) });
            }
        }
        let first_contact = started + self.config.first_contact;
        let until = first_contact.max(now + self.config.failure_timeout);
        self.liveness.keep(&workers, now, until);
        self.reports.retain(|node, _| workers.contains(node));
        self.registrations.observe(&state);
        let replicas: Vec<_> = state.deployments.values().map(|d| d.replica).collect();
        self.rollouts.retain(|replica, _| replicas.contains(replica));
        for deployment in state.deployments.values() {
            self.rollouts.entry(deployment.replica).or_default().observe(deployment);
        }
        self.state = state;
    }

    fn lead(&mut self, now: Duration) {
        self.leader = true;
        self.liveness.extend_expected(now + self.config.failure_timeout);
        self.desired.forget_all();
        self.links.forget_all();
        self.operations = OperationWatch::default();
        self.drains.forget_all();
    }

    fn register(
        &mut self,
        node: NodeId,
        registration: Registration,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        if !self.state.members.contains_key(&node) {
            return;
        }
        self.note_restart(node, &registration.shards, now);
        self.liveness.registered(node, now, &self.config);
        actions.push(Action::Send { node, message: coordinators(&self.state) });
        self.desired.forget(node);
        self.links.forget(node);
        self.drains.forget(node);
        let report = Report { shards: registration.shards.clone(), ..Report::default() };
        self.reports.insert(node, report);
        self.registrations.note(&self.state, node, registration);
    }

    /// A worker that comes back without a shard it had was restarted: the sequences of that epoch
    /// are gone on it.
    fn note_restart(&mut self, node: NodeId, now_held: &[ShardStatus], now: Duration) {
        let Some(report) = self.reports.get(&node) else { return };
        for had in report.shards.iter().filter(|s| s.state == ShardState::Ready) {
            let same = |s: &&ShardStatus| s.replica == had.replica && s.epoch == had.epoch;
            let deployment = self.state.replica(had.replica);
            let current = deployment.is_some_and(|(_, d)| d.epoch() == Some(had.epoch));
            if current
                && now_held.iter().find(same).is_none()
                && let Some(track) = self.rollouts.get_mut(&had.replica)
            {
                track.node_lost("a node of the plan was restarted".into(), now);
            }
        }
    }

    /// Whether the node says anything that it did not say the last time.
    fn hear(&mut self, node: NodeId, heartbeat: Heartbeat, now: Duration) -> bool {
        if !self.state.members.contains_key(&node) {
            return false;
        }
        let was_live = self.liveness.is_live(node);
        self.liveness.heard(node, now, &self.config);
        let Heartbeat { shards, loads, memory_used_bytes, peers_alive, leaving, .. } = heartbeat;
        let leaves = leaving && self.liveness.leaving(node);
        let report = Report { shards, loads, memory_used_bytes };
        for peer in peers_alive {
            self.liveness.shows_progress(peer, now);
        }
        let same = |before: &Report| before.shards == report.shards;
        let news = leaves || !was_live || !self.reports.get(&node).is_some_and(same);
        self.reports.insert(node, report);
        news
    }

    fn tick(&mut self, now: Duration) {
        for node in self.liveness.tick(now, &self.config) {
            let reason = self.liveness.describe(node, now, &self.config).reason;
            let name = self.state.members.get(&node).map_or("", |m| m.name.as_str());
            tracing::warn!(node = %node.short(), name, reason, "worker lost");
            for deployment in self.state.deployments.values() {
                let Some(placement) = &deployment.placement else { continue };
                let track = self.rollouts.get_mut(&deployment.replica);
                if let Some(track) = track.filter(|_| placement.plan.nodes().contains(&node)) {
                    track.node_lost(format!("node {name} was lost: {reason}"), now);
                }
            }
        }
    }

    fn reconcile(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let state = Arc::clone(&self.state);
        actions.extend(self.registrations.due(now, &self.config));
        actions.extend(self.empty_nodes(&state, now));
        for (name, deployment) in &state.deployments {
            actions.extend(self.reconcile_deployment(&state, name, deployment, now));
        }
        let attached: Vec<_> = state
            .workers()
            .map(|(node, _)| node)
            .filter(|node| self.liveness.is_attached(*node))
            .collect();
        for (node, set) in self.desired.changed(&state, attached.iter().copied()) {
            let message = CoordinatorMessage::Desired(set);
            actions.push(Action::Send { node, message });
        }
        let live: Vec<_> =
            attached.into_iter().filter(|node| self.liveness.is_live(*node)).collect();
        actions.extend(self.links.due(&state, &live, now, &self.config));
        let shards = self.reports.values().flat_map(|report| &report.shards);
        let stalled = self.operations.stalled(&state, shards, now, &self.config);
        actions.extend(stalled.into_iter().map(Action::Propose));
    }
}

fn coordinators(state: &State) -> CoordinatorMessage {
    let (coordinators, applied) = (state.coordinators(), state.applied);
    CoordinatorMessage::Coordinators { coordinators, applied }
}

#[cfg(test)]
mod tests;
