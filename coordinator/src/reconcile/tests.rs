//! Events in, actions out: what the reconciler does when nodes come, go, fail and come back.

mod detection;
mod drains;

use std::sync::Arc;
use std::time::Duration;

use protocol::admin::{DeployOptions, DeploymentState, NodeState, OperationState};
use protocol::control::{CoordinatorMessage, Heartbeat, Registration, Role};
use protocol::ids::{Digest, Epoch, NodeId, ReplicaId};
use protocol::shard::{ShardFailure, ShardState, ShardStatus};

use super::*;
use crate::fixtures::{LAYER_BYTES, model_summary, node, profile};
use crate::state::{Change, Command, Outcome, Timestamp};

const REPLICA: ReplicaId = ReplicaId(1);
/// Room for six of the eight layers with what comes beside them.
const SMALL: u64 = 7 * LAYER_BYTES;
const LARGE: u64 = 1 << 30;

/// A leader, its log that commits at once, and workers that do what the test says.
struct Cluster {
    reconciler: Reconciler,
    state: State,
    index: u64,
    now: Duration,
    /// Workers that send heartbeats, with the shards they report.
    alive: BTreeMap<NodeId, Vec<ShardStatus>>,
    sent: Vec<(NodeId, CoordinatorMessage)>,
    committed: Vec<Change>,
}

impl Cluster {
    fn new(workers: &[(u8, u64)]) -> Self {
        let mut cluster = Self {
            reconciler: Reconciler::new(ReconcilerConfig::default()),
            state: State::default(),
            index: 0,
            now: Duration::from_secs(100),
            alive: BTreeMap::new(),
            sent: Vec::new(),
            committed: Vec::new(),
        };
        cluster.commit(Change::FoundCluster { name: "lab".into(), ca_pem: "pem".into() });
        for (id, memory) in workers {
            cluster.commit(Change::AdmitNode {
                node: node(*id),
                name: format!("w{id}"),
                role: Role::Worker,
                token: None,
                endpoint: None,
            });
            cluster.commit(Change::RecordRegistration {
                node: node(*id),
                profile: Box::new(profile(*memory)),
                data_addresses: vec![format!("10.0.0.{id}:7443")],
                held_manifests: vec![],
            });
        }
        cluster.commit(Change::AddModel {
            name: "m".into(),
            manifest: Digest::of(b"m"),
            summary: Box::new(model_summary()),
            holder: node(workers[0].0),
        });
        cluster.step(Event::BecameLeader);
        cluster
    }

    fn up(workers: &[(u8, u64)]) -> Self {
        let mut cluster = Self::new(workers);
        for (id, _) in workers {
            cluster.register(*id);
        }
        cluster
    }

    fn commit(&mut self, change: Change) {
        self.index += 1;
        let command = Command::new(Timestamp(0), change.clone());
        if !matches!(self.state.apply(command, self.index), Outcome::Refused(_)) {
            self.committed.push(change);
        }
        let state = Arc::new(self.state.clone());
        self.step(Event::StateChanged(state));
    }

    fn step(&mut self, event: Event) {
        for action in self.reconciler.step(event, self.now) {
            match action {
                Action::Propose(change) => self.commit(change),
                Action::Send { node, message } => self.sent.push((node, message)),
            }
        }
    }

    fn register(&mut self, id: u8) {
        let node = node(id);
        let shards = self.alive.entry(node).or_default().clone();
        let member = &self.state.members[&node];
        let registration = Registration {
            instance: String::new(),
            certificate: None,
            answers: false,
            name: member.name.clone(),
            profile: member.profile.clone().expect("registered before"),
            data_addresses: member.data_addresses.clone(),
            held_manifests: if id == 1 { vec![Digest::of(b"m")] } else { vec![] },
            shards,
        };
        self.step(Event::Registered { node, registration: Box::new(registration) });
    }

    fn beat(&mut self) {
        for (node, shards) in self.alive.clone() {
            let heartbeat = Heartbeat { shards, ..Heartbeat::default() };
            self.step(Event::Heartbeat { node, heartbeat });
        }
    }

    /// Lets time pass in ticks; whoever is alive sends heartbeats.
    fn pass(&mut self, milliseconds: u64) {
        for tick in 0..milliseconds / 50 {
            self.now += Duration::from_millis(50);
            if tick % 4 == 0 {
                self.beat();
            }
            self.step(Event::Tick);
        }
    }

    fn deploy(&mut self) {
        let options = DeployOptions::default();
        self.commit(Change::Deploy { model: "m".into(), options, operation: "op".into() });
    }

    /// Every living node of the plan acknowledges the present epoch.
    fn all_ready(&mut self) {
        for node in self.nodes() {
            self.report(node, ShardState::Ready);
        }
        self.beat();
    }

    fn report(&mut self, node: NodeId, state: ShardState) {
        let status = ShardStatus { replica: REPLICA, epoch: self.epoch(), state };
        if let Some(shards) = self.alive.get_mut(&node) {
            *shards = vec![status];
        }
    }

    fn kill(&mut self, id: u8) {
        self.alive.remove(&node(id));
        self.step(Event::StreamLost { node: node(id) });
    }

    fn epoch(&self) -> Epoch {
        self.state.deployments["m"].epoch().expect("placed")
    }

    fn nodes(&self) -> Vec<NodeId> {
        let placement = self.state.deployments["m"].placement.as_ref();
        placement.expect("placed").plan.nodes()
    }

    fn rollout(&self) -> DeploymentState {
        self.state.deployments["m"].rollout.state
    }

    fn plans(&self) -> usize {
        self.committed.iter().filter(|c| matches!(c, Change::PlacePlan { .. })).count()
    }

    fn last_desired(&self, id: u8) -> Option<&protocol::shard::DesiredShards> {
        self.sent.iter().rev().find_map(|(to, message)| match message {
            CoordinatorMessage::Desired(set) if *to == node(id) => Some(set),
            _ => None,
        })
    }
}

#[test]
fn a_deployment_is_planned_sent_to_its_nodes_and_ready_when_all_say_so() {
    let mut cluster = Cluster::up(&[(1, SMALL), (2, SMALL)]);
    cluster.deploy();
    assert_eq!(cluster.nodes(), [node(1), node(2)]);
    for id in [1, 2] {
        let set = cluster.last_desired(id).expect("a desired set");
        assert_eq!((set.shards[0].epoch, set.index), (cluster.epoch(), cluster.epoch().0));
        assert_eq!(set.shards[0].holders, [node(1)]);
        assert_eq!(set.addresses.len(), 2);
    }
    cluster.report(node(1), ShardState::Ready);
    cluster.pass(500);
    assert_eq!(cluster.rollout(), DeploymentState::Starting);
    cluster.all_ready();
    assert_eq!(cluster.rollout(), DeploymentState::Ready);
    assert_eq!(cluster.state.operations["op"].state, OperationState::Done);
    cluster.pass(10_000);
    assert_eq!(cluster.plans(), 1, "a healthy deployment is left alone");
}

#[test]
fn a_killed_worker_costs_one_epoch_at_once() {
    let mut cluster = Cluster::up(&[(1, SMALL), (2, SMALL), (3, SMALL)]);
    cluster.deploy();
    cluster.all_ready();
    let old = cluster.epoch();
    let survivors: Vec<_> = cluster.nodes();
    cluster.kill(2);
    for node in survivors {
        let lost = ShardFailure::PipelineLost;
        cluster.report(node, ShardState::Failed { kind: lost, reason: "edge closed".into() });
    }
    cluster.beat();
    assert_eq!(cluster.epoch(), old, "not before it is sure that the process is gone");
    cluster.pass(200);
    assert!(cluster.epoch() > old && !cluster.nodes().contains(&node(2)));
    cluster.all_ready();
    cluster.pass(20_000);
    assert_eq!((cluster.plans(), cluster.rollout()), (2, DeploymentState::Ready));
}

#[test]
fn a_silent_worker_is_lost_after_the_failure_timeout_and_not_before() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    cluster.deploy();
    cluster.all_ready();
    let [only] = cluster.nodes()[..] else { panic!("one node holds it all") };
    let old = cluster.epoch();
    cluster.pass(50);
    cluster.alive.remove(&only);
    cluster.pass(900);
    assert_eq!(cluster.epoch(), old);
    cluster.pass(150);
    assert!(cluster.epoch() > old && cluster.nodes() != [only]);
    let view = cluster.reconciler.view(cluster.now);
    assert_eq!(view.nodes[&only].state, NodeState::Lost);
}

#[test]
fn progress_that_peers_see_keeps_a_silent_node() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    cluster.alive.remove(&node(2));
    for _ in 0..10 {
        cluster.pass(500);
        let heartbeat = Heartbeat { peers_alive: vec![node(2)], ..Heartbeat::default() };
        cluster.step(Event::Heartbeat { node: node(1), heartbeat });
    }
    assert_eq!(cluster.reconciler.view(cluster.now).nodes[&node(2)].state, NodeState::Ready);
    cluster.pass(1100);
    assert_eq!(cluster.reconciler.view(cluster.now).nodes[&node(2)].state, NodeState::Lost);
}

#[test]
fn a_detector_that_was_frozen_blames_nobody() {
    let mut cluster = Cluster::up(&[(1, LARGE)]);
    cluster.pass(200);
    cluster.now += Duration::from_secs(30);
    cluster.step(Event::Tick);
    assert!(cluster.reconciler.view(cluster.now).nodes[&node(1)].usable);
}

#[test]
fn a_control_stream_that_is_back_at_once_costs_nothing() {
    let mut cluster = Cluster::up(&[(1, LARGE)]);
    cluster.deploy();
    cluster.all_ready();
    cluster.step(Event::StreamLost { node: node(1) });
    cluster.now += Duration::from_millis(50);
    cluster.register(1);
    cluster.pass(3000);
    assert_eq!(cluster.plans(), 1);
}

#[test]
fn a_worker_that_was_restarted_gets_a_new_epoch() {
    let mut cluster = Cluster::up(&[(1, LARGE)]);
    cluster.deploy();
    cluster.all_ready();
    cluster.step(Event::StreamLost { node: node(1) });
    cluster.alive.insert(node(1), vec![]);
    cluster.register(1);
    cluster.pass(100);
    assert_eq!(cluster.plans(), 2);
}

#[test]
fn what_no_longer_fits_is_degraded_and_comes_back_with_its_node() {
    let mut cluster = Cluster::up(&[(1, SMALL), (2, SMALL)]);
    cluster.deploy();
    cluster.all_ready();
    let old = cluster.epoch();
    cluster.kill(2);
    cluster.pass(300);
    assert_eq!(cluster.rollout(), DeploymentState::Degraded);
    let rollout = &cluster.state.deployments["m"].rollout;
    assert!(rollout.missing_bytes > 0 && rollout.reason.contains("degraded: needs"));
    let kept = cluster.last_desired(1).expect("a set");
    assert_eq!(kept.shards[0].epoch, old, "what is loaded stays loaded");
    let log = cluster.committed.len();
    cluster.pass(5000);
    assert_eq!(cluster.committed.len(), log, "the same answer is not logged again and again");
    cluster.register(2);
    assert!(cluster.epoch() > old);
    cluster.all_ready();
    assert_eq!(cluster.rollout(), DeploymentState::Ready);
}

#[test]
fn a_broken_pipeline_of_living_nodes_is_tried_again_ever_more_patiently() {
    let mut cluster = Cluster::up(&[(1, LARGE)]);
    cluster.deploy();
    let mut broken = 0;
    for _ in 0..200 {
        let kind = ShardFailure::Internal;
        cluster.report(node(1), ShardState::Failed { kind, reason: "no luck".into() });
        cluster.pass(100);
        broken = cluster.plans();
    }
    assert!((3..=9).contains(&broken), "{broken} plans in 20 s");
    assert_eq!(cluster.rollout(), DeploymentState::Failed);
    assert!(cluster.state.operations["op"].note.contains("no luck"));
}

#[test]
fn a_node_without_memory_is_left_out_for_a_while() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    cluster.deploy();
    let first = cluster.nodes()[0];
    let kind = ShardFailure::OutOfMemory;
    cluster.report(first, ShardState::Failed { kind, reason: "out of memory".into() });
    cluster.pass(1000);
    assert!(cluster.nodes() != [first] && cluster.plans() == 2);
}

#[test]
fn a_new_leader_gives_every_node_one_window_and_keeps_the_epoch() {
    let mut cluster = Cluster::up(&[(1, SMALL), (2, SMALL)]);
    cluster.deploy();
    cluster.all_ready();
    let epoch = cluster.epoch();
    cluster.reconciler = Reconciler::new(ReconcilerConfig::default());
    let state = Arc::new(cluster.state.clone());
    cluster.step(Event::StateChanged(state));
    cluster.step(Event::BecameLeader);
    cluster.register(1);
    cluster.pass(3000);
    assert_eq!(cluster.epoch(), epoch, "the second node has time to come");
    cluster.register(2);
    cluster.pass(10_000);
    assert_eq!((cluster.epoch(), cluster.rollout()), (epoch, DeploymentState::Ready));
    assert_eq!(cluster.last_desired(2).expect("sent again").shards[0].epoch, epoch);
}

#[test]
fn a_follower_only_watches() {
    let mut cluster = Cluster::up(&[(1, LARGE)]);
    cluster.step(Event::BecameFollower);
    cluster.sent.clear();
    cluster.deploy();
    cluster.kill(1);
    cluster.pass(2000);
    assert_eq!((cluster.plans(), cluster.sent.len()), (0, 0));
}

#[test]
fn a_flapping_node_waits_longer_each_time() {
    let mut cluster = Cluster::up(&[(1, LARGE)]);
    let mut waits = Vec::new();
    for _ in 0..5 {
        cluster.kill(1);
        cluster.pass(200);
        cluster.register(1);
        let mut wait = 0;
        while !cluster.reconciler.view(cluster.now).nodes[&node(1)].usable {
            cluster.pass(100);
            wait += 100;
        }
        waits.push(wait);
    }
    assert_eq!(waits[0], 0);
    assert!(waits.windows(2).all(|w| w[0] < w[1]), "{waits:?}");
}

#[test]
fn an_operation_without_progress_ends() {
    let mut cluster = Cluster::up(&[(1, LARGE)]);
    cluster.commit(Change::StartOperation {
        id: "import".into(),
        kind: crate::state::OperationKind::Import,
        subject: "x".into(),
        note: "reads".into(),
    });
    cluster.pass(119_000);
    assert_eq!(cluster.state.operations["import"].state, OperationState::Running);
    cluster.pass(2000);
    assert_eq!(cluster.state.operations["import"].state, OperationState::Failed);
}

#[test]
fn every_pair_of_nodes_is_probed_once() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE), (3, LARGE)]);
    cluster.pass(60_000);
    let mut links: Vec<_> = cluster
        .sent
        .iter()
        .filter_map(|(from, message)| match message {
            CoordinatorMessage::ProbeLinks { peers } => {
                Some(peers.iter().map(move |p| (*from, p.node)))
            }
            _ => None,
        })
        .flatten()
        .collect();
    links.sort();
    assert_eq!(links.len(), 6);
    links.dedup();
    assert_eq!(links.len(), 6);
}

#[test]
fn a_removed_node_is_told_and_its_replica_moves() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    cluster.deploy();
    cluster.all_ready();
    let first = cluster.nodes()[0];
    cluster.commit(Change::RemoveNode { node: first, operation: "rm".into() });
    assert!(cluster.sent.contains(&(first, CoordinatorMessage::Removed)));
    assert!(cluster.nodes() != [first] && cluster.plans() == 2);
}
