//! What stands together in a batch, and how many batches are in flight.

use protocol::ids::SequenceId;
use protocol::step_batch::Sample;

use super::*;

#[test]
fn decode_rows_come_first_then_prefill_chunks_in_order() {
    let mut scheduler = with(|_| {});
    let first = batch(&submit(&mut scheduler, 1, request(5, 9)));
    submit(&mut scheduler, 2, request(20, 3));
    submit(&mut scheduler, 3, request(6, 3));
    let second = batch(&answer(&mut scheduler, &first, 9));
    assert_eq!(layout(&second), [(0, 5, 1), (1, 0, 15)]);
    assert_eq!(second.rows[1].sample, Sample::No);
    let third = batch(&answer(&mut scheduler, &second, 8));
    assert_eq!(layout(&third), [(0, 6, 1), (1, 15, 5), (2, 0, 6)]);
    assert_eq!(third.rows[1].sample, Sample::Yes { allowed: None });
    assert_eq!(third.starts[0].sequence, SequenceId(2));
}

#[test]
fn chunks_of_one_prompt_fill_the_stages_in_order() {
    let mut scheduler = with(|c| c.stages = 3);
    let actions = submit(&mut scheduler, 1, request(40, 3));
    let layouts: Vec<_> = batches(&actions).iter().map(layout).collect();
    assert_eq!(layouts, [[(0, 0, 16)], [(0, 16, 16)], [(0, 32, 8)]]);
    let sampled: Vec<_> =
        batches(&actions).iter().map(|b| b.rows[0].sample != Sample::No).collect();
    assert_eq!(sampled, [false, false, true]);
}

#[test]
fn decoding_sequences_are_dealt_out_over_the_stages() {
    let mut scheduler = with(|c| c.stages = 2);
    let mut flying = Vec::new();
    for number in 1..=4 {
        flying.extend(batches(&submit(&mut scheduler, number, request(3, 50))));
    }
    for _ in 0..6 {
        let oldest = flying.remove(0);
        let mut done = result(&oldest, TokenId(9));
        done.stage_micros = vec![500, 500];
        flying.extend(batches(&scheduler.step(Event::StepDone(done), NOW)));
    }
    let rows: Vec<_> = flying.iter().map(|batch| batch.rows.len()).collect();
    assert_eq!(rows, [2, 2]);
}

#[test]
fn one_decode_step_of_a_sequence_is_in_flight() {
    let mut scheduler = with(|c| c.stages = 4);
    let first = batch(&submit(&mut scheduler, 1, request(3, 9)));
    assert_eq!(batches(&answer(&mut scheduler, &first, 9)).len(), 1);
    assert_eq!(scheduler.step(Event::Tick, NOW), []);
}

#[test]
fn more_sequences_than_a_step_may_have_take_turns() {
    let mut scheduler = with(|c| c.kv.step_tokens_max = 2);
    let mut last = batch(&submit(&mut scheduler, 1, request(1, 50)));
    for number in 2..=4 {
        submit(&mut scheduler, number, request(1, 50));
    }
    let mut served = [0; 4];
    for _ in 0..40 {
        last = batch(&answer(&mut scheduler, &last, 9));
        last.rows.iter().for_each(|rows| served[rows.sequence.0 as usize] += 1);
    }
    assert!(served.iter().all(|count| *count >= 17), "{served:?}");
}

#[test]
fn decoding_leaves_room_for_those_that_begin() {
    let mut scheduler = with(|c| c.kv.step_tokens_max = 4);
    let mut last = batch(&submit(&mut scheduler, 1, request(1, 50)));
    for number in 2..=4 {
        submit(&mut scheduler, number, request(1, 50));
    }
    last = batch(&answer(&mut scheduler, &last, 9));
    assert_eq!(last.rows.len(), 4);
    submit(&mut scheduler, 5, request(2, 50));
    last = batch(&answer(&mut scheduler, &last, 9));
    assert_eq!(layout(&last)[3], (4, 0, 1));
}

#[test]
fn a_slow_pipeline_gets_smaller_steps() {
    let mut scheduler = with(|c| {
        (c.kv.step_tokens_max, c.kv.context_length, c.kv.blocks) = (512, 2000, 600);
    });
    let mut last = batch(&submit(&mut scheduler, 1, request(1800, 2)));
    let mut sizes = vec![last.token_count()];
    while last.rows[0].sample == Sample::No {
        let mut done = result(&last, TokenId(9));
        done.stage_micros = vec![4_000 * last.token_count() as u32];
        last = batch(&scheduler.step(Event::StepDone(done), NOW));
        sizes.push(last.token_count());
    }
    assert_eq!(sizes[..2], [16, 32], "what is not known to be quick is tried in small steps");
    // At 4 ms a token, 62 tokens take the quarter second that a step may; now and then a little
    // more is tried, in case the machine has become quicker.
    let inner = &sizes[2..sizes.len() - 1];
    assert!(inner.iter().all(|tokens| (32..=72).contains(tokens)), "{sizes:?}");
    assert!(inner.iter().sum::<usize>() / inner.len() <= 64, "{sizes:?}");
}

#[test]
fn two_hundred_sequences_run_side_by_side() {
    let mut scheduler = with(|c| {
        (c.stages, c.waiting_max, c.kv.blocks) = (4, 256, 4000);
        (c.kv.sequences_max, c.kv.step_tokens_max) = (200, 256);
    });
    let mut flying = Vec::new();
    for number in 0..200 {
        flying.extend(batches(&submit(&mut scheduler, number, request(20, 30))));
    }
    let (mut steps, mut widest) = (0, 0);
    while !flying.is_empty() {
        let oldest = flying.remove(0);
        steps += 1;
        widest = widest.max(oldest.rows.len());
        flying.extend(batches(&answer(&mut scheduler, &oldest, 9)));
    }
    assert!(scheduler.is_idle());
    // 30 tokens for each of 200, four batches in flight: some 50 rows a step.
    assert!(widest >= 50 && steps < 300, "{steps} steps, at most {widest} rows");
}
