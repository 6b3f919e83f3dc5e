//! Seeds of the simulation of the control plane, and planted bugs that must be noticed.

use std::time::Duration;

use tests::sim::group::{self, Sabotage, Scale, Summary};

use crate::seeds;

/// Seeds that the ordinary test run plays.
const SEEDS: u64 = 2_000;
/// And the long one.
const SEEDS_LONG: u64 = 50_000;
/// Seeds that a planted bug may take to show.
const SEEDS_PLANTED: u64 = 300;

/// `TRIREME_SEED=n` plays that one only, and tells its history.
#[test]
#[allow(clippy::print_stdout, reason = "a replayed seed tells its history")]
fn the_group_keeps_its_promises_on_every_seed() {
    if let Some(seed) = seeds::chosen() {
        let told = group::run(seed, Sabotage::None, true);
        let mut summary = told.unwrap_or_else(|broken| panic!("{broken}"));
        let lines = std::mem::take(&mut summary.lines).join("\n");
        println!("{lines}\n{summary:?}");
        return;
    }
    let count = seeds::variable("TRIREME_SEEDS").map_or(SEEDS, |n| n.parse().expect("a number"));
    let all = play_all(0..count);
    let often = [all.leaders, all.restarts, all.snapshots, all.retried, all.epochs];
    assert!(often.iter().all(|number| *number > count), "too peaceful: {all:?}");
    assert!(all.acknowledged > 10 * count, "too wild: {all:?}");
}

/// A hundredth of them unless `TRIREME_TEST_SHARE` is `full`: the rest takes hours.
#[test]
#[ignore = "hours"]
fn the_group_keeps_its_promises_on_many_more_seeds() {
    let seeds = if seeds::full() { SEEDS_LONG } else { SEEDS_LONG / 100 };
    play_all(SEEDS..SEEDS + seeds);
}

fn play_all(seeds: std::ops::Range<u64>) -> Summary {
    let mut all = Summary::default();
    seeds::spread(seeds, play).iter().for_each(|summary| all.add(summary));
    all
}

fn play(seed: u64) -> Summary {
    group::run(seed, Sabotage::None, false).unwrap_or_else(|broken| {
        panic!(
            "seed {seed}: {broken}\nreplay: TRIREME_SEED={seed} cargo test -p tests \
             --test simulation the_group_keeps -- --nocapture"
        )
    })
}

#[test]
fn a_seed_of_the_group_always_plays_the_same() {
    for seed in 0..5 {
        assert_eq!(play(seed).hash, play(seed).hash, "seed {seed}");
    }
    assert_ne!(play(0).hash, play(1).hash);
}

#[test]
fn a_forgotten_vote_is_noticed() {
    assert_noticed(Sabotage::VoteForgotten, &["one_vote_per_term"]);
}

#[test]
fn a_sync_that_was_skipped_is_noticed() {
    // Of a file of which any part may be missing, redb itself may say that it is damaged.
    assert_noticed(Sabotage::SyncSkipped, &["committed_survives", "one_vote", "does not start"]);
}

#[test]
fn a_snapshot_without_the_members_is_noticed() {
    assert_noticed(Sabotage::SnapshotWithoutMembership, &["snapshots_restore"]);
}

#[test]
fn an_epoch_that_nobody_checks_is_noticed() {
    assert_noticed(Sabotage::EpochUnchecked, &["epochs_only_rise"]);
}

/// The first seed on which it shows must show it as one of `signs`.
#[allow(clippy::print_stdout, reason = "the seed is worth knowing")]
fn assert_noticed(sabotage: Sabotage, signs: &[&str]) {
    let noticed = (0..SEEDS_PLANTED)
        .find_map(|seed| group::run(seed, sabotage, false).err().map(|why| (seed, why)));
    let (seed, why) = noticed.unwrap_or_else(|| panic!("nobody noticed {sabotage:?}"));
    println!("{sabotage:?} shows on seed {seed}: {why}");
    assert!(signs.iter().any(|sign| why.contains(sign)), "seed {seed} was taken for: {why}");
}

/// The same at a tenth of the size stands in the ordinary run.
#[test]
#[ignore = "minutes"]
fn a_thousand_workers_and_a_hundred_writes_a_second_outlive_an_election() {
    if !seeds::full() {
        return;
    }
    outlive_an_election(1_000, 100);
}

#[test]
fn a_hundred_workers_and_a_hundred_writes_a_second_outlive_an_election() {
    outlive_an_election(100, 100);
}

/// No worker is lost, no write, and none waits longer than an election may take.
fn outlive_an_election(workers: usize, writes_per_second: u32) {
    let scale = Scale { workers, writes_per_second, length: Duration::from_secs(6) };
    let summary = group::at_scale(1, scale).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(summary.acknowledged, 600);
    assert!(summary.leaders >= 2, "nobody took over");
    assert!(summary.slowest < Duration::from_secs(3), "a write took {:?}", summary.slowest);
}
