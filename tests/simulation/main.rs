//! Seeds of the cluster simulation, and a planted bug per invariant that must be noticed.

mod promises;

use std::ops::Range;
use std::panic::resume_unwind;

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
    if let Some(seed) = chosen_seed() {
        play(seed);
        return;
    }
    assert_eventful(&play_all(0..SEEDS));
}

/// A tenth of them unless `TRIREME_TEST_SHARE` is `full`.
#[test]
#[ignore = "minutes"]
fn every_invariant_holds_on_many_more_seeds() {
    let full = variable("TRIREME_TEST_SHARE").is_some_and(|share| share == "full");
    let seeds = if full { SEEDS_LONG } else { SEEDS_LONG / 10 };
    play_all(SEEDS..SEEDS + seeds);
}

/// Spread over the cores; the first broken seed is reported.
fn play_all(seeds: Range<u64>) -> Summary {
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u64);
    let mut all = Summary::default();
    std::thread::scope(|scope| {
        let share =
            |first: u64| (seeds.start + first..seeds.end).step_by(workers as usize).map(play);
        let threads: Vec<_> = (0..workers)
            .map(|first| scope.spawn(move || share(first).collect::<Vec<_>>()))
            .collect();
        for thread in threads {
            let summaries = thread.join().unwrap_or_else(|broken| resume_unwind(broken));
            summaries.iter().for_each(|summary| all.add(summary));
        }
    });
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

fn chosen_seed() -> Option<u64> {
    let text = variable("TRIREME_SEED")?;
    Some(text.parse().expect("TRIREME_SEED is a number"))
}

#[allow(clippy::disallowed_methods, reason = "a test is given no arguments")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
