//! When blocks run out, the youngest is computed again later, with the same tokens.

use protocol::ids::{SequenceId, TokenId};

use super::*;

/// Two sequences that fill a pool of four blocks: 8 tokens each, both with one more to write.
fn full_pool() -> (Scheduler, StepBatch) {
    let mut scheduler = with(|c| (c.kv.blocks, c.kv.step_tokens_max) = (4, 64));
    let first = batch(&submit(&mut scheduler, 1, request(4, 4)));
    submit(&mut scheduler, 2, request(4, 20));
    let mut last = batch(&answer(&mut scheduler, &first, 11));
    for token in 12..15 {
        last = batch(&answer(&mut scheduler, &last, token));
    }
    (scheduler, last)
}

#[test]
fn the_youngest_gives_way_and_keeps_what_it_emitted() {
    let mut scheduler = with(|c| (c.kv.blocks, c.kv.step_tokens_max) = (4, 64));
    let first = batch(&submit(&mut scheduler, 1, request(6, 9)));
    submit(&mut scheduler, 2, request(3, 9));
    let mut last = batch(&answer(&mut scheduler, &first, 11));
    assert_eq!(layout(&last), [(0, 6, 1), (1, 0, 3)]);
    last = batch(&answer(&mut scheduler, &last, 12));
    assert_eq!(layout(&last), [(0, 7, 1), (1, 3, 1)]);
    // Both need a block, one is left: the older takes it, the younger goes back to the queue.
    last = batch(&answer(&mut scheduler, &last, 13));
    assert_eq!(layout(&last), [(0, 8, 1)]);
    assert_eq!(last.ends, [SequenceId(1)]);
    assert_eq!((scheduler.preemptions(), scheduler.load().waiting), (1, 1));

    cancel(&mut scheduler, 1);
    last = batch(&answer(&mut scheduler, &last, 14));
    assert_eq!(layout(&last), [(2, 0, 5)]);
    assert_eq!(last.ends, [SequenceId(0)]);
    assert_eq!(*last.starts[0].emitted, [TokenId(12), TokenId(13)]);
    assert_eq!(told(&answer(&mut scheduler, &last, 15)), [emit(2, 15)]);
}

#[test]
fn a_resumed_stream_is_kept_though_it_came_last() {
    let mut scheduler = with(|c| (c.kv.blocks, c.kv.step_tokens_max) = (4, 64));
    let first = batch(&submit(&mut scheduler, 1, request(3, 9)));
    submit(&mut scheduler, 2, resumed(4, 2, 20));
    let mut last = batch(&answer(&mut scheduler, &first, 11));
    assert_eq!(layout(&last), [(0, 3, 1), (1, 0, 6)]);
    last = batch(&answer(&mut scheduler, &last, 12));
    last = batch(&answer(&mut scheduler, &last, 13));
    assert_eq!(layout(&last), [(1, 7, 1), (0, 5, 1)]);
    last = batch(&answer(&mut scheduler, &last, 14));
    assert_eq!(layout(&last), [(1, 8, 1)], "the pool is full: the fresh one gives way");
}

#[test]
fn a_token_that_was_in_flight_at_preemption_is_not_lost() {
    let (mut scheduler, mut last) = full_pool();
    let mut emitted = 0;
    for _ in 0..40 {
        let actions = answer(&mut scheduler, &last, 20);
        emitted += told(&actions).iter().filter(|a| **a == emit(2, 20)).count();
        match batches(&actions).pop() {
            Some(next) => last = next,
            None => break,
        }
    }
    // Four blocks hold 16 tokens: 4 of the prompt, three emitted in `full_pool`, the rest here.
    assert!(scheduler.is_idle());
    assert_eq!(emitted, 12 - 3);
}
