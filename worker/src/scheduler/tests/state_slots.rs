//! A model with recurrent layers: each sequence that runs has a slot of its own, until it ends.

use protocol::ids::StateSlot;

use super::*;

fn slots(batch: &StepBatch) -> Vec<Option<StateSlot>> {
    batch.rows.iter().map(|rows| rows.state_slot).collect()
}

fn recurrent(change: impl FnOnce(&mut SchedulerConfig)) -> Scheduler {
    with(|config| {
        (config.recurrent, config.kv.step_tokens_max) = (true, 64);
        change(config);
    })
}

#[test]
fn a_sequence_keeps_its_slot_and_the_next_gets_another() {
    let mut scheduler = recurrent(|_| {});
    let first = batch(&submit(&mut scheduler, 1, request(6, 9)));
    assert_eq!(slots(&first), [Some(StateSlot(0))]);
    submit(&mut scheduler, 2, request(3, 9));
    let next = batch(&answer(&mut scheduler, &first, 11));
    assert_eq!(slots(&next), [Some(StateSlot(0)), Some(StateSlot(1))]);
    let next = batch(&answer(&mut scheduler, &next, 12));
    assert_eq!(slots(&next), [Some(StateSlot(0)), Some(StateSlot(1))]);
}

#[test]
fn a_cancelled_sequence_s_slot_goes_to_the_next_from_position_0() {
    let mut scheduler = recurrent(|c| c.kv.sequences_max = 1);
    let first = batch(&submit(&mut scheduler, 1, request(6, 9)));
    submit(&mut scheduler, 2, request(3, 9));
    cancel(&mut scheduler, 1);
    let next = batch(&answer(&mut scheduler, &first, 11));
    assert_eq!((layout(&next), slots(&next)), (vec![(1, 0, 3)], vec![Some(StateSlot(0))]));
}

#[test]
fn a_preempted_sequence_gives_its_slot_back_and_begins_anew_in_another() {
    let mut scheduler = recurrent(|c| c.kv.blocks = 4);
    let first = batch(&submit(&mut scheduler, 1, request(6, 9)));
    submit(&mut scheduler, 2, request(3, 9));
    let mut last = batch(&answer(&mut scheduler, &first, 11));
    for token in 12..14 {
        last = batch(&answer(&mut scheduler, &last, token));
    }
    // Both need a block, one is left: the younger goes back to the queue.
    assert_eq!((layout(&last), scheduler.preemptions()), (vec![(0, 8, 1)], 1));
    cancel(&mut scheduler, 1);
    last = batch(&answer(&mut scheduler, &last, 14));
    assert_eq!(layout(&last), [(2, 0, 5)]);
    assert!(slots(&last)[0].is_some());
}

#[test]
fn a_model_without_such_layers_gets_no_slots() {
    let mut scheduler = with(|_| {});
    assert_eq!(slots(&batch(&submit(&mut scheduler, 1, request(6, 9)))), [None]);
}
