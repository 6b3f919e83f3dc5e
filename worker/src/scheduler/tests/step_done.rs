//! `StepDone`: tokens out, ends found, the next rows in; and answers that make no sense.

use protocol::generate::{FinishReason, Refusal};
use protocol::ids::{SequenceId, StepId, TokenId};

use super::*;

#[test]
fn a_sampled_token_is_emitted_and_becomes_the_next_row() {
    let mut scheduler = with(|_| {});
    let first = batch(&submit(&mut scheduler, 1, request(5, 3)));
    let actions = answer(&mut scheduler, &first, 9);
    assert_eq!(told(&actions), [emit(1, 9)]);
    let next = batch(&actions);
    assert_eq!(layout(&next), [(0, 5, 1)]);
    assert_eq!(next.rows[0].tokens, [TokenId(9)]);
    assert!(next.starts.is_empty());
}

#[test]
fn a_stop_token_ends_the_stream_and_is_not_emitted() {
    let mut scheduler = with(|_| {});
    let first = batch(&submit(&mut scheduler, 1, request(5, 3)));
    let actions = answer(&mut scheduler, &first, STOP.0);
    assert_eq!(actions, [Action::Finish { key: key(1), reason: FinishReason::Stop }]);
    assert_eq!(scheduler.load().blocks_free, 32);
    let next = batch(&submit(&mut scheduler, 2, request(5, 3)));
    assert_eq!(next.ends, [SequenceId(0)]);
}

#[test]
fn tokens_max_counts_what_was_emitted_before_a_resume() {
    let mut scheduler = with(|_| {});
    let first = batch(&submit(&mut scheduler, 1, resumed(5, 2, 4)));
    let second = batch(&answer(&mut scheduler, &first, 9));
    let end = Action::Finish { key: key(1), reason: FinishReason::Length };
    assert_eq!(answer(&mut scheduler, &second, 8), [emit(1, 8), end]);
}

#[test]
fn the_context_length_ends_a_stream() {
    let mut scheduler = with(|c| (c.kv.context_length, c.kv.step_tokens_max) = (7, 64));
    let first = batch(&submit(&mut scheduler, 1, request(5, 100)));
    let second = batch(&answer(&mut scheduler, &first, 9));
    let end = Action::Finish { key: key(1), reason: FinishReason::Length };
    assert_eq!(answer(&mut scheduler, &second, 8), [emit(1, 8), end]);
}

#[test]
fn an_answer_to_another_question_means_that_the_pipeline_is_broken() {
    let wrong_step = |r: &mut StepResult| r.step = StepId(3);
    let wrong_count = |r: &mut StepResult| r.samples.clear();
    let wrong_sequence = |r: &mut StepResult| r.samples[0].sequence = SequenceId(9);
    let wrong_token = |r: &mut StepResult| r.samples[0].token = TokenId(1000);
    let changes: [fn(&mut StepResult); 4] = [wrong_step, wrong_count, wrong_sequence, wrong_token];
    for change in changes {
        let mut scheduler = with(|_| {});
        let first = batch(&submit(&mut scheduler, 1, request(5, 3)));
        let mut result = result(&first, TokenId(9));
        change(&mut result);
        let actions = scheduler.step(Event::StepDone(result), NOW);
        let [Action::Refuse { refusal, .. }, Action::Abandon { .. }] = &actions[..] else {
            panic!("{actions:?}")
        };
        assert!(matches!(refusal, Refusal::PipelineLost { .. }));
    }
}

#[test]
fn a_result_that_nobody_waits_for_is_refused_too() {
    let mut scheduler = with(|_| {});
    let result = StepResult { step: StepId(0), samples: vec![], stage_micros: vec![] };
    let actions = scheduler.step(Event::StepDone(result), NOW);
    assert!(matches!(&actions[..], [Action::Abandon { .. }]));
}
