//! Who is lost, when, and who is not: exact under a virtual clock.

use super::*;
use crate::state::{Setting, SettingsChange};

impl Cluster {
    fn node_state(&self, id: u8) -> NodeState {
        self.reconciler.view(self.now).nodes[&node(id)].state
    }

    fn reason(&self, id: u8) -> String {
        self.reconciler.view(self.now).nodes[&node(id)].reason.clone()
    }

    fn set(&mut self, setting: Setting, milliseconds: Option<u64>) {
        let values = BTreeMap::from([(setting, milliseconds)]);
        self.commit(Change::Settings(SettingsChange::Set { values }));
    }

    /// No word on any control stream, while datagrams of `ids` keep arriving here.
    fn only_data_plane(&mut self, milliseconds: u64, ids: &[u8]) {
        let alive = std::mem::take(&mut self.alive);
        for _ in 0..milliseconds / 200 {
            self.pass(200);
            ids.iter().for_each(|id| self.step(Event::DataProgress { node: node(*id) }));
        }
        self.alive = alive;
    }
}

#[test]
fn three_seconds_without_the_control_network_evict_nobody() {
    let mut cluster = Cluster::up(&[(1, SMALL), (2, SMALL), (3, SMALL)]);
    cluster.deploy();
    cluster.all_ready();
    cluster.only_data_plane(3000, &[1, 2, 3]);
    for id in 1..=3 {
        assert_eq!(cluster.node_state(id), NodeState::Ready);
        assert!(cluster.reason(id).contains("its data plane shows progress"));
    }
    cluster.pass(10_000);
    assert_eq!((cluster.plans(), cluster.rollout()), (1, DeploymentState::Ready));
    assert_eq!(cluster.reason(1), "");
}

#[test]
fn datagrams_of_a_silent_node_keep_it_and_their_end_loses_it() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    cluster.alive.remove(&node(2));
    for _ in 0..50 {
        cluster.pass(200);
        cluster.step(Event::DataProgress { node: node(2) });
    }
    assert_eq!(cluster.node_state(2), NodeState::Ready);
    cluster.pass(900);
    assert_eq!(cluster.node_state(2), NodeState::Ready);
    cluster.pass(150);
    assert_eq!(cluster.node_state(2), NodeState::Lost);
}

#[test]
fn a_failure_timeout_that_is_set_is_obeyed_at_once_and_so_is_its_end() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    cluster.set(Setting::FailureTimeout, Some(3000));
    let silent = cluster.alive.remove(&node(2)).expect("alive");
    cluster.pass(2900);
    assert_eq!(cluster.node_state(2), NodeState::Ready);
    cluster.pass(150);
    assert_eq!(cluster.node_state(2), NodeState::Lost);
    cluster.alive.insert(node(2), silent);
    cluster.pass(500);
    assert_eq!(cluster.node_state(2), NodeState::Ready);
    cluster.set(Setting::FailureTimeout, None);
    cluster.alive.remove(&node(2));
    cluster.pass(1250);
    assert_eq!(cluster.node_state(2), NodeState::Lost);
}

#[test]
fn flapping_is_forgotten_after_the_time_that_was_set() {
    let lose_twice = |cluster: &mut Cluster| {
        for _ in 0..2 {
            cluster.kill(2);
            cluster.pass(4000);
            cluster.register(2);
            cluster.pass(200);
        }
        cluster.reconciler.view(cluster.now).nodes[&node(2)].usable
    };
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    assert!(!lose_twice(&mut cluster), "the second loss costs patience");
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    cluster.set(Setting::FlapMemory, Some(3000));
    assert!(lose_twice(&mut cluster), "the first one is forgotten by then");
}

#[test]
fn workers_of_a_destroyed_cluster_hear_that_they_are_let_go() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    cluster.deploy();
    cluster.commit(Change::DestroyCluster { cluster: "lab".into() });
    for id in [1, 2] {
        let heard = (node(id), CoordinatorMessage::Removed);
        assert!(cluster.sent.contains(&heard), "w{id}");
    }
}

#[test]
fn a_reset_stream_of_a_process_that_answers_costs_nothing() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    cluster.deploy();
    cluster.all_ready();
    let [only] = cluster.nodes()[..] else { panic!("one node holds it all") };
    let shards = cluster.alive.remove(&only).expect("alive");
    cluster.step(Event::StreamLost { node: only });
    cluster.now += Duration::from_millis(20);
    cluster.step(Event::Answered { node: only });
    for _ in 0..10 {
        cluster.pass(200);
        cluster.step(Event::DataProgress { node: only });
    }
    assert!(!cluster.reconciler.view(cluster.now).nodes[&only].usable, "it takes no commands");
    cluster.alive.insert(only, shards);
    cluster.register(only.0[0]);
    cluster.pass(2000);
    assert_eq!((cluster.plans(), cluster.nodes()), (1, vec![only]));
}

#[test]
fn datagrams_that_were_on_their_way_do_not_keep_a_process_that_died() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    cluster.kill(2);
    cluster.step(Event::DataProgress { node: node(2) });
    cluster.pass(200);
    assert_eq!(cluster.node_state(2), NodeState::Lost);
}

#[test]
fn who_loses_everybody_at_once_suspects_itself_first() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE), (3, LARGE)]);
    cluster.deploy();
    cluster.all_ready();
    let alive = std::mem::take(&mut cluster.alive);
    cluster.pass(5000);
    assert_eq!(cluster.node_state(1), NodeState::Ready);
    assert!(cluster.reason(1).contains("as every node is"), "{}", cluster.reason(1));
    cluster.alive = alive;
    cluster.pass(5000);
    assert_eq!((cluster.plans(), cluster.reason(1).as_str()), (1, ""));
    cluster.alive.clear();
    cluster.pass(6200);
    for id in 1..=3 {
        assert_eq!(cluster.node_state(id), NodeState::Lost);
    }
}

#[test]
fn one_that_still_speaks_leaves_no_doubt_about_the_silent_ones() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE), (3, LARGE)]);
    cluster.alive.remove(&node(2));
    cluster.alive.remove(&node(3));
    cluster.pass(1250);
    assert_eq!([2, 3].map(|id| cluster.node_state(id)), [NodeState::Lost; 2]);
    assert_eq!(cluster.node_state(1), NodeState::Ready);
}

#[test]
fn one_silence_costs_one_epoch_whatever_the_survivors_report_meanwhile() {
    let mut cluster = Cluster::up(&[(1, SMALL), (2, SMALL), (3, SMALL)]);
    cluster.deploy();
    cluster.all_ready();
    let victim = cluster.nodes()[1];
    cluster.alive.remove(&victim);
    let (epoch, survivors) = (cluster.epoch(), cluster.nodes());
    for _ in 0..15 {
        let broken = if cluster.epoch() == epoch { survivors.as_slice() } else { &[] };
        for node in broken.iter().copied() {
            let kind = ShardFailure::PipelineLost;
            cluster.report(node, ShardState::Failed { kind, reason: "step overdue".into() });
        }
        cluster.pass(100);
    }
    assert_eq!(cluster.plans(), 2, "the first plan and the one after the loss");
    assert!(!cluster.nodes().contains(&victim));
}

#[test]
fn a_node_that_comes_back_with_its_shards_is_taken_as_it_is() {
    let mut cluster = Cluster::up(&[(1, SMALL), (2, SMALL)]);
    cluster.deploy();
    cluster.all_ready();
    let before = cluster.state.deployments["m"].placement.clone().expect("placed").plan;
    let shards = cluster.alive.remove(&node(2)).expect("alive");
    cluster.pass(1300);
    assert_eq!(cluster.rollout(), DeploymentState::Degraded);
    cluster.alive.insert(node(2), shards);
    cluster.beat();
    cluster.pass(100);
    let after = cluster.state.deployments["m"].placement.clone().expect("placed").plan;
    assert_eq!(
        after.stages(),
        before.stages(),
        "the same layers on the same nodes: none is read anew"
    );
    assert_eq!(after.kv(), before.kv());
}

#[test]
fn who_says_goodbye_is_not_held_to_be_flapping() {
    let mut cluster = Cluster::up(&[(1, LARGE), (2, LARGE)]);
    for _ in 0..5 {
        let heartbeat = Heartbeat { leaving: true, ..Heartbeat::default() };
        cluster.step(Event::Heartbeat { node: node(1), heartbeat });
        assert_eq!(cluster.node_state(1), NodeState::Draining);
        cluster.kill(1);
        cluster.pass(200);
        assert!(cluster.reason(1).contains("told to stop"), "{}", cluster.reason(1));
        cluster.register(1);
        assert!(cluster.reconciler.view(cluster.now).nodes[&node(1)].usable);
    }
}

#[test]
fn every_state_on_the_way_says_what_happens_next() {
    let mut cluster = Cluster::new(&[(1, LARGE), (2, LARGE)]);
    let next = |cluster: &Cluster, id: u8| {
        let live = cluster.reconciler.view(cluster.now).nodes[&node(id)].clone();
        (live.state, live.reason, live.next)
    };
    let (state, reason, then) = next(&cluster, 1);
    assert_eq!(state, NodeState::Joining);
    assert!(reason.contains("not connected") && then.contains("lost unless"), "{reason}: {then}");
    cluster.register(1);
    cluster.register(2);
    assert_eq!(next(&cluster, 1), (NodeState::Ready, String::new(), String::new()));
    cluster.kill(2);
    cluster.pass(200);
    let (state, _, then) = next(&cluster, 2);
    assert_eq!((state, then.is_empty()), (NodeState::Lost, false));
    cluster.commit(Change::Node(crate::state::NodeChange::Cordon { node: node(1) }));
    let (state, reason, then) = next(&cluster, 1);
    assert_eq!((state, reason.as_str()), (NodeState::Cordoned, "cordoned"));
    assert!(then.contains("trireme node uncordon w1"), "{then}");
}
