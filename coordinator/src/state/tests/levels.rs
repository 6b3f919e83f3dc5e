//! Versions side by side: an older log reads, a newer one is refused, the group uses what all
//! speak.

use protocol::control::LOG_LEVEL;
use serde_json::json;

use super::*;
use crate::state::{KeyChange, LevelError};

/// Commands as the version before levels wrote them, and the state that it computed from them.
const OLD_LOG: &str = include_str!("level_1_log.jsonl");
const OLD_SNAPSHOT: &str = include_str!("level_1_snapshot.json");

fn old_state() -> State {
    State::from_snapshot(OLD_SNAPSHOT.as_bytes()).expect("an older snapshot reads")
}

#[test]
fn a_log_from_before_levels_leads_to_the_state_that_it_led_to() {
    let mut state = State::default();
    for (line, index) in OLD_LOG.lines().zip(1..) {
        let command: Command = serde_json::from_str(line).expect(line);
        assert_eq!((command.level, &command.actor), (1, &Actor::System));
        state.apply(command, index);
    }
    assert_eq!(state, State { level: 1, ..old_state() });
    assert!(state.deployments.contains_key("m") && state.keys.contains_key("ci"));
}

#[test]
fn a_command_reads_back_from_the_log_whoever_asked_for_it() {
    let mut command = Command::new(Timestamp(7), deploy("m", "op"));
    command.actor = Actor::Key { name: "ops".into(), role: protocol::admin::KeyRole::Operator };
    command.request = "r1".into();
    let text = serde_json::to_string(&command).expect("writes");
    assert_eq!(serde_json::from_str::<Command>(&text).expect(&text), command);
}

#[test]
fn a_command_of_a_newer_version_is_kept_whole_and_never_applied() {
    let newer = json!({
        "level": LOG_LEVEL + 1, "at": 5, "request": "r",
        "actor": { "type": "robot" }, "change": { "fly": { "to": 1.5 } }, "colour": "red",
    });
    let command: Command = serde_json::from_value(newer.clone()).expect("reads");
    let refused = command.check_level(9, LOG_LEVEL).expect_err("unknown").to_string();
    assert!(refused.contains("entry 9") && refused.contains("newer version"), "{refused}");
    assert_eq!(serde_json::to_value(&command).expect("writes"), newer);
    let known = json!({ "at": 5, "change": { "fly": {} } });
    assert!(serde_json::from_value::<Command>(known).is_err(), "no excuse at a known level");
}

#[test]
fn a_snapshot_of_a_newer_version_is_refused_before_it_is_read() {
    let newer = json!({ "level": LOG_LEVEL + 1, "clock": "sundial" }).to_string();
    let refused = State::from_snapshot(newer.as_bytes()).expect_err("refused");
    assert!(matches!(refused, LevelError::Snapshot { .. }), "{refused}");
}

fn coordinator(id: u8, level: u32) -> Change {
    let endpoint = CoordinatorEndpoint { level, ..CoordinatorEndpoint::new("a:1", "a:2") };
    let (name, role) = (format!("c{id}"), Role::Coordinator);
    Change::AdmitNode { node: node(id), name, role, token: None, endpoint: Some(endpoint) }
}

#[test]
fn commands_have_the_level_that_every_coordinator_speaks() {
    let mut log = Log::new();
    log.state.level = 1;
    let level = |log: &Log| {
        let command = Command::new(Timestamp(0), deploy("m", "op"));
        log.state.stamped(command, LOG_LEVEL).expect("an old change").level
    };
    assert_eq!(level(&log), LOG_LEVEL, "nobody has said what he speaks");
    let mut old = Command::new(Timestamp(0), coordinator(2, 1));
    old.level = 1;
    assert_eq!(log.state.apply(old, 2), Outcome::Done);
    assert_eq!(level(&log), 1);
    let new = Change::Key(KeyChange::Revoke { name: "ci".into() });
    let refused = log.state.stamped(Command::new(Timestamp(0), new), LOG_LEVEL).expect_err("new");
    assert!(refused.message.contains("`c2` speaks level 1"), "{}", refused.message);
    assert_eq!(refused.hint, "upgrade c2");
}

#[test]
fn a_coordinator_that_cannot_read_the_log_is_not_let_in() {
    let mut log = Log::new();
    log.done(coordinator(1, LOG_LEVEL));
    log.refused(coordinator(2, LOG_LEVEL - 1), RefusalCode::Precondition, "c2");
    let endpoint = CoordinatorEndpoint { level: 1, ..CoordinatorEndpoint::new("a:1", "a:2") };
    let downgraded = Change::RecordEndpoint { node: node(1), endpoint };
    log.refused(downgraded, RefusalCode::Precondition, "speaks level 1");
}

#[test]
fn measured_numbers_are_the_same_after_any_way_through_json() {
    let mut x = 0.123_456_789_012_345_67_f64;
    for _ in 0..20_000 {
        x = (x * 16807.37).fract() + 1e-4;
        let mut known = profile(1 << 30);
        known.devices[0].memory_bandwidth = x * 1e12;
        known.devices[0].matmul_rate = 1e9 / x;
        let mut link = protocol::node_profile::LinkProfile::new(x * 1e-6, 1e10 * x);
        link.exchange.direct_seconds = Some(x * 1e-5);
        known.links.insert(node(2), link);
        known.settle();
        let text = serde_json::to_string(&known).expect("writes");
        assert_eq!(
            serde_json::from_str::<protocol::node_profile::NodeProfile>(&text).unwrap(),
            known
        );
    }
}
