//! Nodes that are cordoned, drained, or told to stop.

use protocol::admin::OnNoFit;

use super::*;
use crate::state::{Duty, NodeChange};

impl Cluster {
    fn drain(&mut self, node: NodeId, on_no_fit: OnNoFit) {
        let (operation, timeout_seconds) = ("drain".to_owned(), 60);
        let drain = NodeChange::Drain { node, operation, timeout_seconds, on_no_fit };
        self.commit(Change::Node(drain));
    }

    /// The worker of `node` does what its last desired set says.
    fn obey(&mut self, node: NodeId) {
        let wanted = self.last_desired(node.0[0]).map(|set| set.shards.clone()).unwrap_or_default();
        let ready = |shard: protocol::shard::DesiredShard| ShardStatus {
            replica: shard.replica,
            epoch: shard.epoch,
            state: ShardState::Ready,
        };
        let held = wanted.into_iter().map(ready).collect();
        self.alive.insert(node, held);
        self.pass(50);
    }

    fn duty(&self, node: NodeId) -> &Duty {
        &self.state.members[&node].duty
    }

    fn leaves(&mut self, node: NodeId) {
        let shards = self.alive[&node].clone();
        let heartbeat = Heartbeat { shards, leaving: true, ..Heartbeat::default() };
        self.step(Event::Heartbeat { node, heartbeat });
        self.step(Event::Tick);
    }

    fn release(&self, node: NodeId) -> Option<&str> {
        self.sent.iter().rev().find_map(|(to, message)| match message {
            CoordinatorMessage::Release { reason } if *to == node => Some(reason.as_str()),
            _ => None,
        })
    }
}

/// A deployment on one of two nodes that both have room, and that node.
fn two_with_room() -> (Cluster, NodeId) {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    cluster.deploy();
    cluster.all_ready();
    let [only] = cluster.nodes()[..] else { panic!("one node holds it all") };
    (cluster, only)
}

#[test]
fn a_drained_nodes_replica_moves_and_the_drain_ends_when_the_node_is_empty() {
    let (mut cluster, drained) = two_with_room();
    cluster.drain(drained, OnNoFit::Abort);
    assert!(cluster.nodes() != [drained] && cluster.plans() == 2);
    cluster.pass(1000);
    assert!(cluster.duty(drained).is_draining(), "it still reports its shard");
    let view = cluster.reconciler.view(cluster.now).nodes[&drained].clone();
    assert_eq!(view.state, NodeState::Draining);
    assert!(view.next.contains("trireme op wait drain"), "{}", view.next);
    cluster.obey(drained);
    assert!(cluster.duty(drained).is_draining(), "the others fetch from it");
    cluster.obey(cluster.nodes()[0]);
    assert!(matches!(cluster.duty(drained), Duty::Cordoned { reason, .. } if reason == "drained"));
    assert_eq!(cluster.state.operations["drain"].state, OperationState::Done);
    cluster.pass(5000);
    assert_eq!((cluster.plans(), cluster.rollout()), (2, DeploymentState::Ready));
}

#[test]
fn a_drain_without_another_plan_is_given_up_with_the_numbers() {
    let mut cluster = Cluster::up(&[(1, SMALL), (2, SMALL)]);
    cluster.deploy();
    cluster.all_ready();
    cluster.drain(node(2), OnNoFit::Abort);
    let operation = &cluster.state.operations["drain"];
    assert_eq!(operation.state, OperationState::Failed);
    assert!(
        operation.note.contains("m needs") && operation.note.contains("MiB"),
        "{}",
        operation.note
    );
    assert_eq!(operation.result["code"], "does_not_fit");
    assert_eq!(*cluster.duty(node(2)), Duty::Serve);
    cluster.pass(5000);
    assert_eq!((cluster.plans(), cluster.rollout()), (1, DeploymentState::Ready));
}

#[test]
fn a_model_that_fits_nowhere_else_stops_where_that_was_asked_for_and_returns_with_the_node() {
    let mut cluster = Cluster::up(&[(1, SMALL), (2, SMALL)]);
    cluster.deploy();
    cluster.all_ready();
    cluster.drain(node(2), OnNoFit::Stop);
    assert_eq!(cluster.rollout(), DeploymentState::Degraded);
    let rollout = &cluster.state.deployments["m"].rollout;
    assert!(rollout.missing_bytes > 0, "{}", rollout.reason);
    for id in [1, 2] {
        assert!(cluster.last_desired(id).expect("a set").shards.is_empty());
        cluster.obey(node(id));
    }
    assert_eq!(cluster.state.operations["drain"].state, OperationState::Done);
    cluster.commit(Change::Node(NodeChange::Uncordon { node: node(2) }));
    assert_eq!(cluster.nodes(), [node(1), node(2)]);
}

#[test]
fn a_cordoned_node_gets_nothing_new_and_keeps_what_it_has() {
    let mut cluster = Cluster::up(&[(1, SMALL), (2, SMALL), (3, SMALL)]);
    cluster.commit(Change::Node(NodeChange::Cordon { node: node(1) }));
    assert!(!cluster.reconciler.view(cluster.now).nodes[&node(1)].usable);
    cluster.deploy();
    assert_eq!(cluster.nodes(), [node(2), node(3)]);
    cluster.all_ready();
    cluster.commit(Change::Node(NodeChange::Cordon { node: node(2) }));
    cluster.pass(1000);
    assert_eq!(cluster.plans(), 1);
    cluster.commit(Change::Node(NodeChange::Uncordon { node: node(1) }));
    cluster.kill(3);
    cluster.pass(200);
    assert!(cluster.nodes().contains(&node(2)), "it moves no layer off the cordoned one");
}

#[test]
fn a_drain_that_takes_too_long_fails_and_the_node_serves_again() {
    let (mut cluster, drained) = two_with_room();
    cluster.drain(drained, OnNoFit::Abort);
    cluster.pass(59_000);
    assert!(cluster.duty(drained).is_draining());
    cluster.pass(2000);
    let operation = &cluster.state.operations["drain"];
    assert!(operation.note.contains("not done within 60 s"), "{}", operation.note);
    assert_eq!(*cluster.duty(drained), Duty::Serve);
}

#[test]
fn a_new_leader_goes_on_with_a_drain_and_does_not_start_its_time_anew() {
    let (mut cluster, drained) = two_with_room();
    cluster.step(Event::BecameFollower);
    cluster.drain(drained, OnNoFit::Abort);
    cluster.pass(500);
    assert_eq!(cluster.nodes(), [drained], "a follower only watches");
    cluster.state.clock = Timestamp(50_000);
    let state = Arc::new(cluster.state.clone());
    cluster.step(Event::StateChanged(state));
    cluster.step(Event::BecameLeader);
    assert!(cluster.nodes() != [drained]);
    cluster.pass(11_000);
    assert_eq!(cluster.state.operations["drain"].state, OperationState::Failed);
}

#[test]
fn a_worker_that_was_told_to_stop_is_emptied_and_then_released() {
    let (mut cluster, stopping) = two_with_room();
    cluster.leaves(stopping);
    assert!(cluster.nodes() != [stopping]);
    assert_eq!(cluster.release(stopping), None, "its shard is still there");
    cluster.obey(stopping);
    cluster.leaves(stopping);
    cluster.obey(cluster.nodes()[0]);
    assert_eq!(cluster.release(stopping), Some("nothing is left on this node"));
    cluster.kill(stopping.0[0]);
    cluster.pass(3000);
    assert_eq!((cluster.plans(), cluster.rollout()), (2, DeploymentState::Ready));
}

#[test]
fn a_worker_that_nobody_can_replace_is_told_not_to_wait() {
    let mut cluster = Cluster::up(&[(1, SMALL), (2, SMALL)]);
    cluster.deploy();
    cluster.all_ready();
    cluster.leaves(node(2));
    let reason = cluster.release(node(2)).expect("released");
    assert!(reason.contains("no plan without this node: m needs"), "{reason}");
    assert_eq!((cluster.plans(), cluster.rollout()), (1, DeploymentState::Ready));
}
