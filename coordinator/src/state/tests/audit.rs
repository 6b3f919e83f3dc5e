//! The audit chain: who changed what, bound together, bounded, without secrets.

use protocol::admin::{AuditRecord, KeyRole, verify_audit};

use super::*;
use crate::state::KeyChange;
use crate::state::audit::AUDIT_KEPT;

impl Log {
    fn apply_by(&mut self, actor: Actor, change: Change) -> Outcome {
        self.index += 1;
        let command = Command { actor, ..Command::new(Timestamp(self.now), change) };
        self.state.apply(command, self.index)
    }

    fn chain(&self) -> Vec<AuditRecord> {
        self.state.audit.after(0).map(|r| r.as_ref().clone()).collect()
    }
}

fn ops() -> Actor {
    Actor::Key { name: "ops".into(), role: KeyRole::Operator }
}

fn create_key(name: &str) -> Change {
    Change::Key(KeyChange::Create {
        name: name.into(),
        role: KeyRole::User,
        hash: Digest::of(b"the hash"),
        prefix: "sk-trireme-pref".into(),
        limits: Default::default(),
        expires_in_seconds: None,
    })
}

#[test]
fn what_people_change_and_what_admits_removes_or_places_is_in_the_chain() {
    let mut log = Log::new();
    log.worker(1, "w1");
    log.model("m", 1);
    assert_eq!(log.apply_by(ops(), deploy("m", "op")), Outcome::Deployed { replica: ReplicaId(1) });
    log.done(Change::PlacePlan {
        replica: ReplicaId(1),
        expected: None,
        plan: Box::new(plan_on(&[1])),
    });
    assert_eq!(log.apply_by(Actor::Local, create_key("ci")), Outcome::Done);
    // Refused, and therefore no change.
    assert!(matches!(log.apply_by(ops(), create_key("ci")), Outcome::Refused(_)));
    log.done(Change::RemoveNode { node: node(1), operation: "rm".into() });
    let found: Vec<_> = log
        .chain()
        .into_iter()
        .map(|r| format!("{} {} {}", r.actor, r.action, r.subject))
        .collect();
    assert_eq!(
        found,
        [
            "system found-cluster lab",
            "system admit-node w1 (01010101, worker)",
            "system add-model m",
            "key ops deploy m",
            "system place-plan m on w1 (01010101)",
            "local create-key ci (user)",
            "system remove-node w1 (01010101)",
        ]
    );
    let text = serde_json::to_string(&log.chain()).expect("writes");
    for secret in [Digest::of(b"the hash").to_string(), "sk-trireme".into(), "pem".into()] {
        assert!(!text.contains(&secret), "{text}");
    }
}

#[test]
fn a_retried_change_has_one_record() {
    let mut log = Log::new();
    let before = log.chain().len();
    for _ in 0..3 {
        log.index += 1;
        let command = Command::new(Timestamp(log.now), create_key("ci"));
        let command = Command { actor: ops(), request: "key ops/1".into(), ..command };
        assert_eq!(log.state.apply(command, log.index), Outcome::Done);
    }
    assert_eq!(log.chain().len(), before + 1);
}

#[test]
fn the_chain_is_bounded_and_what_is_left_still_verifies() {
    let mut log = Log::new();
    for i in 0..AUDIT_KEPT + 50 {
        let operation = format!("op{i}");
        let (id, kind, note) = (operation.clone(), OperationKind::Import, String::new());
        let start = Change::StartOperation { id, kind, subject: "m".into(), note };
        assert_eq!(log.apply_by(ops(), start), Outcome::Done);
        log.done(Change::UpdateOperation {
            id: operation,
            state: OperationState::Done,
            note: String::new(),
            done: 0,
            total: 0,
            result: Default::default(),
        });
    }
    let chain = log.chain();
    assert_eq!((chain.len(), log.state.audit.cut()), (AUDIT_KEPT, 51));
    assert_eq!(chain[0].sequence, 52);
    assert_eq!(verify_audit(&chain, Some(log.state.audit.anchor())), Ok(()));
    assert_eq!(chain[AUDIT_KEPT - 1].hash, log.state.audit.head());
    let newest: Vec<_> = log.state.audit.after(AUDIT_KEPT as u64 + 49).collect();
    assert_eq!(newest.len(), 2);
    assert_eq!(log.state.audit.after(1_000_000).count(), 0);
}
