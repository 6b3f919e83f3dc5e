//! What the replicated state promises: refusals, epochs, idempotence, a monotone clock.

mod audit;
mod destruction;
mod histories;
mod keys;
mod levels;
mod settings;

use protocol::admin::{DeployOptions, DeploymentState, OperationState};
use protocol::control::{CoordinatorEndpoint, Role};
use protocol::ids::{Digest, Epoch, NodeId, ReplicaId};

use super::*;
use crate::fixtures::{model_summary, node, plan_on, profile};

pub(super) struct Log {
    pub(super) state: State,
    index: u64,
    now: u64,
}

impl Log {
    pub(super) fn new() -> Self {
        let mut log = Self { state: State::default(), index: 0, now: 1000 };
        log.done(Change::FoundCluster { name: "lab".into(), ca_pem: "pem".into() });
        log
    }

    fn apply(&mut self, change: Change) -> Outcome {
        self.apply_as("", change)
    }

    fn apply_as(&mut self, request: &str, change: Change) -> Outcome {
        self.index += 1;
        let at = Timestamp(self.now);
        let request = request.to_owned();
        self.state.apply(Command { request, ..Command::new(at, change) }, self.index)
    }

    pub(super) fn done(&mut self, change: Change) -> u64 {
        let outcome = self.apply(change);
        assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome}");
        self.index
    }

    pub(super) fn refused(&mut self, change: Change, code: RefusalCode, says: &str) {
        let before = self.state.clone();
        match self.apply(change) {
            Outcome::Refused(refusal) => {
                assert_eq!(refusal.code, code, "{}", refusal.message);
                assert!(refusal.message.contains(says), "{}", refusal.message);
            }
            other => panic!("not refused: {other}"),
        }
        let State { clock, applied, level, .. } = self.state;
        assert_eq!(
            self.state,
            State { clock, applied, level, ..before },
            "a refusal changed something"
        );
    }

    pub(super) fn worker(&mut self, id: u8, name: &str) {
        let change = admit(id, name, Role::Worker, None);
        self.done(change);
        self.done(Change::RecordRegistration {
            node: node(id),
            profile: Box::new(profile(1 << 30)),
            data_addresses: vec![format!("10.0.0.{id}:7443")],
            held_manifests: vec![],
        });
    }

    pub(super) fn coordinator(&mut self, id: u8, name: &str) {
        self.done(admit(id, name, Role::Coordinator, None));
    }

    fn model(&mut self, name: &str, holder: u8) {
        let (manifest, summary) = (Digest::of(name.as_bytes()), Box::new(model_summary()));
        let holder = node(holder);
        self.done(Change::AddModel { name: name.into(), manifest, summary, holder });
    }
}

fn admit(id: u8, name: &str, role: Role, token: Option<Digest>) -> Change {
    let coordinator = role == Role::Coordinator;
    let endpoint = coordinator.then(|| {
        CoordinatorEndpoint::new(format!("10.0.0.{id}:7443"), format!("10.0.0.{id}:8443"))
    });
    Change::AdmitNode { node: node(id), name: name.into(), role, token, endpoint }
}

fn deploy(model: &str, operation: &str) -> Change {
    let options = DeployOptions::default();
    Change::Deploy { model: model.into(), options, operation: operation.into() }
}

#[test]
fn a_join_token_opens_the_door_as_often_as_it_says_and_names_why_it_does_not() {
    let mut log = Log::new();
    let hash = Digest::of(b"secret");
    log.done(Change::AddJoinToken { hash, role: Role::Worker, ttl_seconds: 60, uses: 1 });
    let forbidden = RefusalCode::Forbidden;
    let foreign = Some(Digest::of(b"other"));
    log.refused(admit(1, "w1", Role::Worker, foreign), forbidden, "does not know");
    log.refused(admit(1, "w1", Role::Coordinator, Some(hash)), forbidden, "for a worker");
    log.done(admit(1, "w1", Role::Worker, Some(hash)));
    log.refused(admit(2, "w2", Role::Worker, Some(hash)), forbidden, "used up");
    log.done(admit(1, "w1", Role::Worker, Some(hash)));
    log.now += 60_000;
    log.refused(admit(1, "w1", Role::Worker, Some(hash)), forbidden, "expired at");
}

#[test]
fn a_name_belongs_to_one_node_and_a_removed_node_loses_its_place() {
    let mut log = Log::new();
    log.worker(1, "w1");
    log.model("m", 1);
    let taken = RefusalCode::Precondition;
    log.refused(admit(2, "w1", Role::Worker, None), taken, "already named");
    log.refused(admit(2, "-bad", Role::Worker, None), RefusalCode::InvalidValue, "-bad");
    log.done(Change::RemoveNode { node: node(1), operation: "op".into() });
    assert!(log.state.removed.contains(&node(1)) && log.state.models["m"].holders.is_empty());
    assert_eq!(log.state.operations["op"].state, OperationState::Done);
    log.done(admit(1, "w1", Role::Worker, None));
    assert!(!log.state.removed.contains(&node(1)), "it joined again");
}

#[test]
fn the_only_coordinator_stays() {
    let mut log = Log::new();
    log.done(admit(9, "c1", Role::Coordinator, None));
    let remove = |id| Change::RemoveNode { node: node(id), operation: "op".into() };
    log.refused(remove(9), RefusalCode::Precondition, "only coordinator");
    log.done(admit(8, "c2", Role::Coordinator, None));
    log.done(remove(9));
}

#[test]
fn an_epoch_is_the_index_of_its_plan_and_an_older_view_is_refused() {
    let mut log = Log::new();
    log.worker(1, "w1");
    log.model("m", 1);
    log.done(deploy("m", "op"));
    let replica = ReplicaId(1);
    let place = |expected| Change::PlacePlan { replica, expected, plan: Box::new(plan_on(&[1])) };
    let first = Epoch(log.done(place(None)));
    assert_eq!(log.state.deployments["m"].epoch(), Some(first));
    log.refused(place(None), RefusalCode::Precondition, "another epoch");
    let second = Epoch(log.done(place(Some(first))));
    let ready = |epoch| Change::SetRollout {
        replica,
        epoch: Some(epoch),
        state: DeploymentState::Ready,
        reason: String::new(),
        missing_bytes: 0,
    };
    log.refused(ready(first), RefusalCode::Precondition, "another epoch");
    log.done(ready(second));
    assert_eq!(log.state.operations["op"].state, OperationState::Done);
    log.refused(
        Change::PlacePlan { replica, expected: Some(second), plan: Box::new(plan_on(&[7])) },
        RefusalCode::Precondition,
        "not a member",
    );
}

#[test]
fn replica_ids_are_never_given_out_twice() {
    let mut log = Log::new();
    log.model("m", 1);
    log.done(deploy("m", "a"));
    let undeploy = |id: &str| Change::Undeploy { model: "m".into(), operation: id.into() };
    log.done(undeploy("b"));
    assert_eq!(log.state.operations["a"].state, OperationState::Failed);
    log.refused(undeploy("b"), RefusalCode::Precondition, "an operation `b` already");
    log.refused(undeploy("c"), RefusalCode::NotFound, "not deployed");
    log.done(deploy("m", "c"));
    assert_eq!(log.state.deployments["m"].replica, ReplicaId(2));
}

#[test]
fn a_retried_request_changes_nothing_twice() {
    let mut log = Log::new();
    log.model("m", 1);
    let first = log.apply_as("r1", deploy("m", "a"));
    let again = log.apply_as("r1", deploy("m", "a"));
    assert_eq!((&first, &again), (&Outcome::Deployed { replica: ReplicaId(1) }, &first));
    assert_eq!(log.state.operations.len(), 1);
}

#[test]
fn a_request_id_stands_for_one_kind_of_change() {
    let mut log = Log::new();
    log.model("m", 1);
    let ask = |log: &mut Log, change| {
        log.index += 1;
        let command = Command::new(Timestamp(log.now), change);
        let command = Command { request: "r1".into(), actor: Actor::Local, ..command };
        log.state.apply(command, log.index)
    };
    let first = ask(&mut log, deploy("m", "a"));
    assert_eq!(ask(&mut log, deploy("m", "b")), first);
    let undeploy = Change::Undeploy { model: "m".into(), operation: "c".into() };
    match ask(&mut log, undeploy.clone()) {
        Outcome::Refused(refusal) => assert!(refusal.message.contains("`deploy`"), "{refusal:?}"),
        other => panic!("not refused: {other}"),
    }
    assert_eq!(log.apply_as("r1", undeploy), Outcome::Done, "the cluster's own ids are its own");
}

#[test]
fn the_clock_never_goes_back() {
    let mut log = Log::new();
    log.now = 5000;
    log.model("m", 1);
    log.now = 10;
    log.model("n", 1);
    assert_eq!(log.state.clock, Timestamp(5000));
    assert_eq!(log.state.models["n"].imported_at, Timestamp(5000));
}

#[test]
fn finished_operations_are_forgotten_before_running_ones() {
    let mut log = Log::new();
    let start = |id: String| {
        let (subject, note) = (String::new(), String::new());
        Change::StartOperation { id, kind: OperationKind::Import, subject, note }
    };
    log.done(start("running".into()));
    for i in 0..2000 {
        let id = format!("op{i:04}");
        log.done(start(id.clone()));
        log.done(Change::UpdateOperation {
            id,
            state: OperationState::Done,
            note: String::new(),
            done: 1,
            total: 1,
            result: Default::default(),
        });
    }
    assert!(log.state.operations.contains_key("running"));
    assert!(log.state.operations.contains_key("op1999"));
    assert!(log.state.operations.len() < 600);
}

#[test]
fn the_state_reads_back_from_its_snapshot() {
    let mut log = Log::new();
    log.worker(1, "w1");
    log.model("m", 1);
    log.done(deploy("m", "op"));
    let plan = Box::new(plan_on(&[1]));
    log.done(Change::PlacePlan { replica: ReplicaId(1), expected: None, plan });
    let json = serde_json::to_vec(&log.state).expect("serialises");
    assert_eq!(serde_json::from_slice::<State>(&json).expect("reads back"), log.state);
}

#[test]
fn a_member_is_found_by_name_or_by_the_beginning_of_its_id() {
    let mut log = Log::new();
    log.worker(1, "w1");
    let found = |text: &str| log.state.find_member(text).map(|(id, _)| id);
    assert_eq!(found("w1"), Some(node(1)));
    assert_eq!(found(&node(1).to_string()), Some(node(1)));
    assert_eq!(found(&node(1).short()), Some(node(1)));
    assert_eq!((found("01"), found("w2"), found("")), (None, None, None::<NodeId>));
}
