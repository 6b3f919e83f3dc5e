//! Cordons and drains as the log has them.

use protocol::admin::{OnNoFit, OperationState};

use super::super::tests::Log;
use super::super::{Change, Duty, NodeChange, OperationChange, RefusalCode};
use super::*;
use crate::fixtures::node;

fn log() -> Log {
    let mut log = Log::new();
    log.worker(1, "w1");
    log
}

fn drain(operation: &str) -> Change {
    let (node, operation) = (node(1), operation.to_owned());
    let on_no_fit = OnNoFit::Abort;
    Change::Node(NodeChange::Drain { node, operation, timeout_seconds: 60, on_no_fit })
}

fn end(operation: &str, failed: Option<&str>) -> Change {
    let failed = failed
        .map(|reason| DrainFailure { code: "does_not_fit".to_owned(), reason: reason.to_owned() });
    let (node, operation) = (node(1), operation.to_owned());
    Change::Node(NodeChange::EndDrain { node, operation, failed })
}

fn duty(log: &Log) -> &Duty {
    &log.state.members[&node(1)].duty
}

#[test]
fn a_drain_that_is_done_leaves_the_node_cordoned() {
    let mut log = log();
    log.done(drain("d"));
    assert_eq!(log.state.operations["d"].limit_seconds, 60);
    log.refused(drain("e"), RefusalCode::Precondition, "draining already");
    log.refused(end("other", None), RefusalCode::Precondition, "another operation");
    log.done(end("d", None));
    assert_eq!(log.state.operations["d"].state, OperationState::Done);
    assert!(matches!(duty(&log), Duty::Cordoned { reason, .. } if reason == "drained"));
    log.refused(end("d", None), RefusalCode::Precondition, "not draining");
    log.done(Change::Node(NodeChange::Uncordon { node: node(1) }));
    assert_eq!(*duty(&log), Duty::Serve);
}

#[test]
fn a_drain_that_failed_leaves_the_node_as_it_was() {
    let mut log = log();
    log.done(drain("d"));
    log.done(end("d", Some("needs 9.1 GiB more")));
    assert_eq!(*duty(&log), Duty::Serve);
    let operation = &log.state.operations["d"];
    assert_eq!(
        (operation.state, operation.note.as_str()),
        (OperationState::Failed, "needs 9.1 GiB more")
    );
    log.done(Change::Node(NodeChange::Cordon { node: node(1) }));
    log.done(drain("e"));
    log.done(end("e", Some("no")));
    assert!(matches!(duty(&log), Duty::Cordoned { reason, .. } if reason == "cordoned"));
}

#[test]
fn a_cancelled_or_taken_back_drain_says_so_and_the_node_serves() {
    let mut log = log();
    log.done(drain("d"));
    log.done(Change::Operation(OperationChange::Cancel { id: "d".into() }));
    assert_eq!(log.state.operations["d"].result["code"], "cancelled");
    assert_eq!(*duty(&log), Duty::Serve);
    let again = Change::Operation(OperationChange::Cancel { id: "d".into() });
    log.refused(again, RefusalCode::Precondition, "has ended");
    log.done(drain("e"));
    log.done(Change::Node(NodeChange::Uncordon { node: node(1) }));
    assert_eq!(log.state.operations["e"].result["code"], "cancelled");
    assert_eq!(*duty(&log), Duty::Serve);
}

#[test]
fn a_node_that_joins_again_is_asked_the_same_as_before() {
    let mut log = log();
    log.done(Change::Node(NodeChange::Cordon { node: node(1) }));
    log.worker(1, "w1");
    assert!(matches!(duty(&log), Duty::Cordoned { .. }));
}

#[test]
fn labels_are_set_removed_and_bounded() {
    let mut log = log();
    let label = |set: &[(&str, &str)], remove: &[&str]| {
        let set = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let remove = remove.iter().map(|k| (*k).to_owned()).collect();
        Change::Node(NodeChange::Label { node: node(1), set, remove })
    };
    log.done(label(&[("rack", "3"), ("gpu", "4090")], &[]));
    log.done(label(&[("rack", "4")], &["gpu"]));
    let labels = &log.state.members[&node(1)].labels;
    assert_eq!((labels.len(), labels["rack"].as_str()), (1, "4"));
    log.refused(label(&[("-bad", "x")], &[]), RefusalCode::InvalidValue, "-bad");
    let many: Vec<_> = (0..LABELS_MAX).map(|i| format!("l{i}")).collect();
    let many: Vec<_> = many.iter().map(|k| (k.as_str(), "")).collect();
    log.refused(label(&many, &[]), RefusalCode::InvalidValue, "65 labels");
}

#[test]
fn coordinators_are_not_drained() {
    let mut log = log();
    log.coordinator(9, "c1");
    let drain = NodeChange::Cordon { node: node(9) };
    log.refused(Change::Node(drain), RefusalCode::InvalidValue, "coordinator");
}

#[test]
fn a_member_written_before_there_were_duties_serves() {
    let log = log();
    let mut old = serde_json::to_value(&log.state.members[&node(1)]).expect("JSON");
    let fields = old.as_object_mut().expect("an object");
    fields.remove("duty");
    fields.remove("labels");
    let member: Member = serde_json::from_value(old).expect("an old member");
    assert_eq!((member.duty, member.labels.len()), (Duty::Serve, 0));
}
