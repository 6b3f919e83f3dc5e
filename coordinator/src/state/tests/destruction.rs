//! A destroyed cluster: nothing is left in it but who has to hear of it, and nothing changes it.

use super::*;

fn destroy(cluster: &str) -> Change {
    Change::DestroyCluster { cluster: cluster.into() }
}

fn lab() -> Log {
    let mut log = Log::new();
    log.coordinator(9, "c9");
    log.worker(1, "w1");
    log.worker(2, "w2");
    log.model("m", 1);
    log.done(deploy("m", "op"));
    let (hash, prefix) = (Digest::of(b"key"), "trk".to_owned());
    let role = protocol::admin::KeyRole::Admin;
    log.done(Change::AddKey { name: "admin".into(), role, hash, prefix });
    let hash = Digest::of(b"token");
    log.done(Change::AddJoinToken { hash, role: Role::Worker, ttl_seconds: 60, uses: 1 });
    log
}

#[test]
fn a_cluster_is_not_destroyed_under_another_name() {
    let mut log = lab();
    log.refused(destroy("lap"), RefusalCode::Precondition, "called `lab`, not `lap`");
    assert_eq!(log.state.destroyed, None);
}

#[test]
fn what_it_held_is_gone_and_its_workers_are_let_go() {
    let mut log = lab();
    log.done(destroy("lab"));
    let State { members, removed, operations, .. } = &log.state;
    assert_eq!(members.keys().collect::<Vec<_>>(), [&node(9)], "coordinators tell each other");
    assert!(removed.contains(&node(1)) && removed.contains(&node(2)));
    assert_eq!(operations["op"].state, OperationState::Failed);
    assert!(log.state.deployments.is_empty() && log.state.models.is_empty());
    assert!(log.state.keys.is_empty() && log.state.tokens.is_empty());
    let text = serde_json::to_vec(&log.state).expect("writes");
    assert_eq!(State::from_snapshot(&text).expect("reads"), log.state);
}

#[test]
fn nothing_changes_it_any_more() {
    let mut log = lab();
    log.done(destroy("lab"));
    let at = log.state.destroyed.expect("it is destroyed");
    log.now += 1000;
    let says = format!("`lab` was destroyed at {at}");
    let endpoint = CoordinatorEndpoint::new("a:1", "a:2");
    for change in [
        destroy("lab"),
        admit(1, "w1", Role::Worker, None),
        deploy("m", "again"),
        Change::RecordEndpoint { node: node(9), endpoint },
        Change::Snapshot(SnapshotChange::Take { id: "s".into() }),
        Change::Settings(SettingsChange::Set { values: Default::default() }),
    ] {
        log.refused(change, RefusalCode::Precondition, &says);
    }
}
