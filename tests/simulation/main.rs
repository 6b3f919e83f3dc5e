//! Seeds of the cluster simulation, and a planted bug per invariant that must be noticed.

mod group;
mod promises;
mod seeds;

use std::ops::Range;

use tests::sim::{self, Sabotage, Summary};

/// Seeds that the ordinary test run plays.
const SEEDS: u64 = 200;
/// And the long one.
const SEEDS_LONG: u64 = 10_000;
/// Seeds that a planted bug may take to show.
const SEEDS_PLANTED: u64 = 40;

/// `TRIREME_SEED=n` plays that one only.
#[test]
fn every_invariant_holds_on_every_seed() {
    if let Some(seed) = seeds::chosen() {
        play(seed);
        return;
    }
    assert_eventful(&play_all(0..SEEDS));
}

/// A tenth of them unless `TRIREME_TEST_SHARE` is `full`.
#[test]
#[ignore = "minutes"]
fn every_invariant_holds_on_many_more_seeds() {
    let count = if seeds::full() { SEEDS_LONG } else { SEEDS_LONG / 10 };
    play_all(SEEDS..SEEDS + count);
}

fn play_all(range: Range<u64>) -> Summary {
    let mut all = Summary::default();
    seeds::spread(range, play).iter().for_each(|summary| all.add(summary));
    all
}

/// What never happens is not tested.
fn assert_eventful(all: &Summary) {
    let Summary { tokens, resumes, failures, preemptions, cancels, .. } = *all;
    let epochs = all.plans.len() as u64;
    let usual = [resumes, cancels, epochs.saturating_sub(SEEDS)];
    let often = usual.iter().all(|count| *count > SEEDS / 2);
    assert!(often && preemptions > SEEDS / 10, "too peaceful: {all:?}");
    assert!(failures * 10 < all.whole_answers && tokens > 100 * SEEDS, "too wild: {all:?}");
}

fn play(seed: u64) -> Summary {
    sim::run(seed, Sabotage::None).unwrap_or_else(|broken| {
        panic!(
            "seed {seed}: {broken}\nreplay: TRIREME_SEED={seed} cargo test -p tests \
             --test simulation every_invariant"
        )
    })
}

#[test]
fn a_seed_always_plays_the_same() {
    let twice = [(); 2].map(|()| sim::run(7, Sabotage::SharedBlock));
    assert_eq!(twice[0], twice[1]);
    assert_eq!(play(8), play(8));
}

#[test]
fn a_block_given_out_twice_is_noticed() {
    assert_noticed(Sabotage::SharedBlock, "blocks_conserved");
}

#[test]
fn a_repeated_token_is_noticed() {
    assert_noticed(Sabotage::RepeatedToken, "tokens_in_order");
}

#[test]
fn rows_of_an_old_epoch_are_noticed() {
    assert_noticed(Sabotage::StaleFrames, "one_epoch");
}

#[test]
fn a_lost_end_is_noticed() {
    assert_noticed(Sabotage::LostFinish, "every_request_ends");
}

#[test]
fn a_cancel_that_is_not_heard_is_noticed() {
    assert_noticed(Sabotage::DeafToCancel, "cancel_frees");
}

fn assert_noticed(sabotage: Sabotage, invariant: &str) {
    let broken = (0..SEEDS_PLANTED).find_map(|seed| sim::run(seed, sabotage).err());
    let broken = broken.unwrap_or_else(|| panic!("nobody noticed {sabotage:?}"));
    assert!(broken.contains(invariant), "{sabotage:?} was taken for: {broken}");
}
