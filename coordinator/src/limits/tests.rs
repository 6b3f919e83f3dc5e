//! The limits are the cluster's: coordinators against one ledger under virtual time.

use std::time::Duration;

use protocol::admin::KeyLimits;

use super::ledger::Ledger;
use super::purse::Purse;
use crate::gateway::quota::Need;

/// Coordinators that serve one key; with a leader, or cut off from it.
struct Cluster {
    ledger: Ledger,
    purses: Vec<Purse>,
    limits: KeyLimits,
    /// When, and how much, was let through.
    passed: Vec<(Duration, Need)>,
}

impl Cluster {
    fn new(coordinators: usize, requests: Option<u64>, tokens: Option<u64>) -> Self {
        let limits = KeyLimits {
            requests_per_minute: requests,
            tokens_per_minute: tokens,
            ..KeyLimits::default()
        };
        let purses = vec![Purse::default(); coordinators];
        Self { ledger: Ledger::default(), purses, limits, passed: Vec::new() }
    }

    fn ask(&mut self, coordinator: usize, tokens: u64, now: Duration) -> Result<(), u64> {
        let need = Need { requests: 1, tokens };
        let purse = &mut self.purses[coordinator];
        if let Some(ask) = purse.take("k", &self.limits, need, now) {
            let lease = self.ledger.lease(&ask, &self.limits, now);
            purse.receive(&ask, &lease);
            if purse.take("k", &self.limits, need, now).is_some() {
                return Err(lease.retry_after_seconds);
            }
        }
        self.passed.push((now, need));
        Ok(())
    }

    fn ask_alone(&mut self, coordinator: usize, now: Duration) -> Result<(), u64> {
        let need = Need { requests: 1, tokens: 0 };
        let count = self.purses.len() as u64;
        self.purses[coordinator].take_share(&self.limits, count, need, now)?;
        self.passed.push((now, need));
        Ok(())
    }

    /// The most that any minute saw.
    fn most(&self, of: impl Fn(&Need) -> u64) -> u64 {
        let minute = Duration::from_secs(60);
        let within = |from: Duration| {
            let part = self.passed.iter().filter(move |(at, _)| *at >= from && *at < from + minute);
            part.map(|(_, need)| of(need)).sum::<u64>()
        };
        self.passed.iter().map(|(from, _)| within(*from)).max().unwrap_or(0)
    }
}

fn draw(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[test]
fn no_minute_sees_more_than_the_limit_and_a_twentieth_per_coordinator() {
    for (seed, coordinators, limit) in [(1, 2, 60), (2, 3, 60), (3, 3, 7), (4, 3, 1), (5, 2, 1000)]
    {
        let mut random = seed;
        let mut cluster = Cluster::new(coordinators, Some(limit), None);
        // Everybody presses on, in bursts and pauses.
        let mut now = Duration::from_millis(draw(&mut random) % 1000);
        for _ in 0..20_000 {
            let pause = if draw(&mut random).is_multiple_of(300) { 45_000 } else { 40 };
            now += Duration::from_millis(draw(&mut random) % pause);
            let coordinator = draw(&mut random) as usize % coordinators;
            let _ = cluster.ask(coordinator, 0, now);
        }
        let bound = limit + coordinators as u64 * limit.div_ceil(20);
        let most = cluster.most(|need| need.requests);
        assert!(most <= bound, "{coordinators} let {most} through, limit {limit}");
        assert!(most >= limit.min(20), "{coordinators} let only {most} through, limit {limit}");
    }
}

#[test]
fn tokens_keep_the_same_bound_and_an_answer_is_paid_back() {
    let mut random = 9;
    let mut cluster = Cluster::new(3, None, Some(6000));
    let mut now = Duration::ZERO;
    for _ in 0..20_000 {
        now += Duration::from_millis(draw(&mut random) % 60);
        let tokens = 1 + draw(&mut random) % 400;
        let _ = cluster.ask(draw(&mut random) as usize % 3, tokens, now);
    }
    let most = cluster.most(|need| need.tokens);
    assert!(most <= 6000 + 3 * 300, "{most} tokens");
    now += Duration::from_secs(120);
    // An answer of two limits: nobody may ask until it has left the window.
    let limits = cluster.limits.clone();
    cluster.ask(0, 10, now).expect("room");
    cluster.purses[0].answer(&limits, 12_000, now);
    let owed = cluster.purses[0].owed("k").expect("it owes");
    let lease = cluster.ledger.lease(&owed, &limits, now);
    cluster.purses[0].receive(&owed, &lease);
    assert_eq!(cluster.purses[0].owed("k"), None);
    for coordinator in 0..3 {
        let wait = cluster.ask(coordinator, 301, now).expect_err("the minute is used up");
        assert!((55..=61).contains(&wait), "{wait}");
    }
    assert!(cluster.ask(1, 301, now + Duration::from_secs(62)).is_ok());
}

#[test]
fn without_a_leader_each_coordinator_gives_its_share() {
    let mut cluster = Cluster::new(3, Some(60), None);
    let mut now = Duration::ZERO;
    for step in 0..3000 {
        now += Duration::from_millis(50);
        let _ = cluster.ask_alone(step % 3, now);
    }
    assert_eq!(cluster.most(|need| need.requests), 60);
    // What was let through under the leader counts against the share.
    let mut cluster = Cluster::new(3, Some(60), None);
    let start = Duration::from_secs(1);
    for _ in 0..60 {
        cluster.ask(0, 0, start).expect("the limit");
    }
    assert!(cluster.ask_alone(0, start).is_err());
    for _ in 0..20 {
        cluster.ask_alone(1, start).expect("its share");
    }
    assert!(cluster.ask_alone(1, start).is_err());
}

#[test]
fn a_refusal_says_when_there_is_room_again() {
    let mut cluster = Cluster::new(1, Some(3), None);
    for at in [0, 10, 20] {
        cluster.ask(0, 0, Duration::from_secs(at)).expect("room");
    }
    let wait = cluster.ask(0, 0, Duration::from_secs(30)).expect_err("used up");
    let again = Duration::from_secs(30 + wait);
    assert!(cluster.ask(0, 0, again).is_ok(), "{wait}");
    assert!(cluster.ask(0, 0, again).is_err());
}

#[test]
fn a_leader_that_forgets_idle_keys_forgets_nothing_that_counts() {
    let mut cluster = Cluster::new(1, Some(2), None);
    for at in [100, 119] {
        cluster.ask(0, 0, Duration::from_secs(at)).expect("room");
    }
    assert!(cluster.ask(0, 0, Duration::from_secs(159)).is_err());
    assert!(cluster.ask(0, 0, Duration::from_secs(161)).is_ok());
    assert!(cluster.ask(0, 0, Duration::from_secs(162)).is_err());
}
