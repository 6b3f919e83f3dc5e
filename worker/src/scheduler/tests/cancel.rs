//! `Cancel`: at any point of a sequence's life its blocks are free for the next batch.

use protocol::generate::FinishReason;
use protocol::ids::SequenceId;

use super::*;

fn cancelled(number: u64) -> Action {
    Action::Finish { key: key(number), reason: FinishReason::Cancelled }
}

#[test]
fn a_waiting_request_leaves_the_queue() {
    let mut scheduler = with(|_| {});
    submit(&mut scheduler, 1, request(5, 3));
    submit(&mut scheduler, 2, request(5, 3));
    assert_eq!(cancel(&mut scheduler, 2), [cancelled(2)]);
    assert_eq!(scheduler.load().waiting, 0);
}

#[test]
fn blocks_of_a_sequence_in_flight_go_to_the_next_batch() {
    let mut scheduler = with(|c| (c.kv.blocks, c.kv.step_tokens_max) = (4, 64));
    let first = batch(&submit(&mut scheduler, 1, request(15, 1)));
    submit(&mut scheduler, 2, request(15, 1));
    assert_eq!(cancel(&mut scheduler, 1), [cancelled(1)]);
    assert_eq!(scheduler.load().blocks_free, 4);

    let actions = answer(&mut scheduler, &first, 9);
    assert_eq!(told(&actions), [], "the sample of a cancelled sequence is dropped");
    let next = batch(&actions);
    assert_eq!(next.ends, [SequenceId(0)]);
    assert_eq!(next.rows[0].block_tables[0].len(), 4);
}

#[test]
fn in_a_long_prefill_the_remaining_chunks_are_not_sent() {
    let mut scheduler = with(|_| {});
    let first = batch(&submit(&mut scheduler, 1, request(40, 1)));
    assert_eq!(layout(&first), [(0, 0, 16)]);
    cancel(&mut scheduler, 1);
    assert_eq!(answer(&mut scheduler, &first, 9), []);
    assert!(scheduler.is_idle());
    assert_eq!(scheduler.load().blocks_free, 32);
}

#[test]
fn a_freed_pipeline_slot_is_used_at_once() {
    let mut scheduler = with(|c| (c.stages, c.kv.blocks) = (2, 4));
    submit(&mut scheduler, 1, request(12, 3));
    assert_eq!(told(&submit(&mut scheduler, 2, request(8, 3))).len(), 1);
    let actions = cancel(&mut scheduler, 1);
    assert_eq!(layout(&batch(&actions)), [(1, 0, 8)]);
}

#[test]
fn a_key_that_is_unknown_or_over_is_ignored() {
    let mut scheduler = with(|_| {});
    assert_eq!(cancel(&mut scheduler, 1), []);
    submit(&mut scheduler, 1, request(5, 3));
    cancel(&mut scheduler, 1);
    assert_eq!(cancel(&mut scheduler, 1), []);
}
