//! Settings: checked against their ranges, taken together or not at all, kept by snapshots.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

const OLD_SNAPSHOT: &str = include_str!("level_1_snapshot.json");

fn set(values: &[(Setting, Option<u64>)]) -> Change {
    Change::Settings(SettingsChange::Set { values: values.iter().copied().collect() })
}

fn in_force(log: &Log, setting: Setting) -> Duration {
    log.state.settings.value(setting)
}

#[test]
fn every_setting_is_stored_under_its_name_and_its_default_is_in_its_range() {
    let mut log = Log::new();
    for setting in Setting::ALL {
        let facts = setting.facts();
        assert_eq!(serde_json::to_value(setting).expect("writes"), facts.name);
        for edge in [facts.min, facts.default, facts.max] {
            log.done(set(&[(setting, Some(edge.as_millis() as u64))]));
            assert_eq!(in_force(&log, setting), edge, "{}", facts.name);
        }
        let beyond = facts.max.as_millis() as u64 + 1000;
        log.refused(set(&[(setting, Some(beyond))]), RefusalCode::InvalidValue, facts.name);
        log.refused(set(&[(setting, Some(0))]), RefusalCode::InvalidValue, facts.name);
    }
}

#[test]
fn a_bad_value_is_named_with_what_would_be_right_and_nothing_of_the_change_is_taken() {
    let mut log = Log::new();
    let values = [(Setting::FailureTimeout, Some(500)), (Setting::DrainTimeout, Some(60_000))];
    let says = "failure_timeout is 0.5 s, expected 0.6 to 60 s in steps of 0.1 s";
    log.refused(set(&values), RefusalCode::InvalidValue, says);
    assert_eq!(in_force(&log, Setting::DrainTimeout), Duration::from_secs(600));
    let odd = set(&[(Setting::JoinTokenTtl, Some(90_500))]);
    log.refused(odd, RefusalCode::InvalidValue, "join_token_ttl is 90.5 s");
}

#[test]
fn what_was_set_can_be_taken_back_one_by_one() {
    let mut log = Log::new();
    log.done(set(&[(Setting::FailureTimeout, Some(2500)), (Setting::FlapMemory, Some(5000))]));
    assert_eq!(in_force(&log, Setting::FailureTimeout), Duration::from_millis(2500));
    log.done(set(&[(Setting::FailureTimeout, None)]));
    assert_eq!(log.state.settings.set(Setting::FailureTimeout), None);
    assert_eq!(in_force(&log, Setting::FailureTimeout), Duration::from_secs(1));
    assert_eq!(in_force(&log, Setting::FlapMemory), Duration::from_secs(5));
}

#[test]
fn people_name_settings_and_give_seconds() {
    let read = |name, seconds| Setting::read(name, seconds).map_err(|refusal| refusal.message);
    assert_eq!(read("failure_timeout", Some(2.3)), Ok((Setting::FailureTimeout, Some(2300))));
    assert_eq!(read("failure_timeout", None), Ok((Setting::FailureTimeout, None)));
    assert_eq!(read("rack", None), Err("there is no setting `rack`".to_owned()));
    for seconds in [-1.0, 0.0, 61.0, 1e300, f64::NAN, f64::INFINITY] {
        let refused = read("failure_timeout", Some(seconds)).expect_err("out of range");
        assert!(refused.starts_with("failure_timeout is "), "{refused}");
    }
}

#[test]
fn settings_go_through_a_snapshot_and_an_older_one_has_none() {
    let mut log = Log::new();
    log.done(set(&[(Setting::CertificateValidity, Some(7_200_000))]));
    let text = serde_json::to_vec(&log.state).expect("writes");
    assert_eq!(State::from_snapshot(&text).expect("reads"), log.state);
    let old = State::from_snapshot(OLD_SNAPSHOT.as_bytes()).expect("an older snapshot reads");
    assert_eq!((old.settings, old.destroyed), (Settings::default(), None));
}

#[test]
fn the_change_says_what_it_sets() {
    let values =
        BTreeMap::from([(Setting::FailureTimeout, Some(2500)), (Setting::DrainTimeout, None)]);
    let said = SettingsChange::Set { values }.to_string();
    assert_eq!(said, "failure_timeout=2.5 s, drain_timeout=default");
}
