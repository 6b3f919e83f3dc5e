//! API keys: limits, rotation, expiry, usage that counts once, and always somebody who may make
//! keys.

use std::collections::BTreeMap;

use protocol::admin::{KeyLimits, KeyRole, UpdateKey};

use super::*;
use crate::state::{KeyChange, UsageDelta};

fn create(name: &str, role: KeyRole, expires_in_seconds: Option<u64>) -> Change {
    Change::Key(KeyChange::Create {
        name: name.into(),
        role,
        hash: Digest::of(name.as_bytes()),
        prefix: "sk-trireme-abcd".into(),
        limits: KeyLimits { requests_per_minute: Some(60), ..KeyLimits::default() },
        expires_in_seconds,
    })
}

fn update(name: &str, update: UpdateKey) -> Change {
    Change::Key(KeyChange::Update { name: name.into(), update })
}

fn revoke(name: &str) -> Change {
    Change::Key(KeyChange::Revoke { name: name.into() })
}

#[test]
fn an_update_changes_what_it_names_and_nothing_else() {
    let mut log = Log::new();
    log.done(create("ci", KeyRole::User, Some(60)));
    let key = |log: &Log| log.state.keys["ci"].clone();
    assert_eq!(key(&log).expires_at, Some(Timestamp(61_000)));
    let tokens_per_minute = Some(1000);
    log.done(update("ci", UpdateKey { tokens_per_minute, ..UpdateKey::default() }));
    let limits = key(&log).limits;
    assert_eq!((limits.requests_per_minute, limits.tokens_per_minute), (Some(60), Some(1000)));
    assert_eq!((key(&log).role, key(&log).expires_at), (KeyRole::User, Some(Timestamp(61_000))));
    let none = UpdateKey {
        requests_per_minute: Some(0),
        expires_in_seconds: Some(0),
        role: Some(KeyRole::Viewer),
        ..UpdateKey::default()
    };
    log.done(update("ci", none));
    assert_eq!((key(&log).limits.requests_per_minute, key(&log).expires_at), (None, None));
    assert_eq!(key(&log).role, KeyRole::Viewer);
    let unknown = update("nobody", UpdateKey::default());
    log.refused(unknown, RefusalCode::NotFound, "no key named `nobody`");
    let bad = UpdateKey { models: Some(vec!["a b".into()]), ..UpdateKey::default() };
    log.refused(update("ci", bad), RefusalCode::InvalidValue, "a b");
}

#[test]
fn a_rotated_key_keeps_its_old_text_for_as_long_as_was_said() {
    let mut log = Log::new();
    log.done(create("ci", KeyRole::User, None));
    let rotate = |text: &[u8], overlap_seconds| {
        let (name, prefix) = ("ci".into(), "sk-trireme-efgh".into());
        let hash = Digest::of(text);
        Change::Key(KeyChange::Rotate { name, hash, prefix, overlap_seconds })
    };
    log.done(rotate(b"second", 30));
    let key = &log.state.keys["ci"];
    let old = key.old.as_ref().expect("the old text");
    assert_eq!((old.hash, old.until), (Digest::of(b"ci"), Timestamp(31_000)));
    assert_eq!((key.hash, key.limits.requests_per_minute), (Digest::of(b"second"), Some(60)));
    log.done(rotate(b"third", 0));
    assert_eq!(log.state.keys["ci"].old, None, "without an overlap the old text ends at once");
}

#[test]
fn somebody_is_always_left_who_may_make_keys() {
    let mut log = Log::new();
    let last = RefusalCode::Precondition;
    log.done(create("root", KeyRole::Admin, None));
    log.done(create("for-a-day", KeyRole::Admin, Some(86_400)));
    log.refused(revoke("root"), last, "last admin key");
    let demoted = UpdateKey { role: Some(KeyRole::Operator), ..UpdateKey::default() };
    log.refused(update("root", demoted.clone()), last, "last admin key");
    let ending = UpdateKey { expires_in_seconds: Some(60), ..UpdateKey::default() };
    log.refused(update("root", ending), last, "last admin key");
    log.done(revoke("for-a-day"));
    log.done(create("other", KeyRole::Admin, None));
    log.done(update("root", demoted));
    log.refused(revoke("other"), last, "last admin key");
}

#[test]
fn a_usage_report_counts_once_and_a_month_begins_anew() {
    let mut log = Log::new();
    log.done(create("ci", KeyRole::User, None));
    log.now = 1_709_251_199_000;
    let report = |batch, tokens| {
        let delta = UsageDelta { requests: 1, prompt_tokens: tokens, completion_tokens: 2 };
        let totals = BTreeMap::from([("ci".to_owned(), delta), ("gone".to_owned(), delta)]);
        Change::Key(KeyChange::RecordUsage { node: node(9), batch, totals })
    };
    log.done(report(1, 10));
    log.done(report(1, 10));
    let usage = |log: &Log| log.state.keys["ci"].usage(Timestamp(log.now));
    assert_eq!((usage(&log).requests, usage(&log).tokens_this_month), (1, 12));
    log.now += 1000;
    assert_eq!((usage(&log).prompt_tokens, usage(&log).tokens_this_month), (10, 0));
    log.done(report(2, 5));
    assert_eq!((usage(&log).prompt_tokens, usage(&log).tokens_this_month), (15, 7));
    assert_eq!(log.state.usage_batch(node(9)), 2);
}
