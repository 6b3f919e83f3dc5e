//! `Submit`: what is accepted, refused, queued, and what its first batch says.

use protocol::generate::{FinishReason, Refusal};
use protocol::ids::{BlockId, SequenceId, TokenId};
use protocol::step_batch::Sample;

use super::*;

#[test]
fn a_request_on_an_idle_pipeline_starts_at_once() {
    let mut scheduler = with(|_| {});
    let actions = submit(&mut scheduler, 1, request(5, 3));
    assert_eq!(told(&actions), [Action::Accept { key: key(1) }]);

    let batch = batch(&actions);
    let start = &batch.starts[0];
    assert_eq!((start.sequence, start.choice_seed), (SequenceId(0), 7));
    assert_eq!((start.prompt.len(), start.emitted.len()), (5, 0));
    assert_eq!(layout(&batch), [(0, 0, 5)]);
    assert_eq!(batch.rows[0].block_tables, [vec![BlockId(0), BlockId(1)]]);
    assert_eq!(batch.rows[0].sample, Sample::Yes { allowed: None });
    assert!(batch.ends.is_empty());
}

#[test]
fn a_full_queue_refuses_new_requests_but_never_a_resumed_stream() {
    let mut scheduler = with(|c| c.waiting_max = 2);
    for number in 1..=3 {
        assert_eq!(told(&submit(&mut scheduler, number, request(5, 3))).len(), 1);
    }
    let refusal = Refusal::QueueFull { waiting: 2 };
    let refused = Action::Refuse { key: key(4), refusal };
    assert_eq!(submit(&mut scheduler, 4, request(5, 3)), [refused]);
    let accepted = submit(&mut scheduler, 5, resumed(5, 2, 6));
    assert_eq!(accepted, [Action::Accept { key: key(5) }]);
}

#[test]
fn resumed_streams_go_before_those_that_wait() {
    let mut scheduler = with(|c| c.kv.step_tokens_max = 5);
    let first = batch(&submit(&mut scheduler, 1, request(5, 3)));
    submit(&mut scheduler, 2, request(5, 3));
    submit(&mut scheduler, 3, resumed(3, 2, 6));
    let next = batch(&answer(&mut scheduler, &first, 9));
    assert_eq!(layout(&next), [(0, 5, 1), (1, 0, 4)]);
    assert_eq!(*next.starts[0].emitted, [TokenId(500), TokenId(501)]);
}

#[test]
fn a_resumed_stream_samples_behind_what_was_emitted() {
    let mut scheduler = with(|_| {});
    let batch = batch(&submit(&mut scheduler, 1, resumed(5, 3, 6)));
    assert_eq!(layout(&batch), [(0, 0, 8)]);
    assert_eq!(batch.rows[0].tokens[4..6], [TokenId(104), TokenId(500)]);
    assert_eq!(batch.rows[0].sample, Sample::Yes { allowed: None });
}

#[test]
fn a_stream_cut_just_before_its_end_only_ends() {
    let mut scheduler = with(|_| {});
    let accept = Action::Accept { key: key(1) };
    let finish = Action::Finish { key: key(1), reason: FinishReason::Length };
    assert_eq!(submit(&mut scheduler, 1, resumed(5, 3, 3)), [accept, finish]);
    let at_context_limit = submit(&mut scheduler, 2, resumed(60, 4, 50));
    let finish = Action::Finish { key: key(2), reason: FinishReason::Length };
    assert_eq!(at_context_limit.last(), Some(&finish));
}

#[test]
fn what_can_never_fit_is_refused_with_the_numbers() {
    let mut scheduler = with(|_| {});
    let refused = |tokens, limit| {
        vec![Action::Refuse { key: key(1), refusal: Refusal::TooLong { tokens, limit } }]
    };
    assert_eq!(submit(&mut scheduler, 1, request(64, 1)), refused(65, 64));
    let mut small = with(|c| c.kv.blocks = 5);
    assert_eq!(submit(&mut small, 1, request(20, 1)), refused(21, 20));
    assert_eq!(told(&submit(&mut small, 2, request(19, 1))).len(), 1);
}

#[test]
fn a_request_that_would_harm_the_pipeline_is_refused() {
    let mut scheduler = with(|_| {});
    let mut foreign = request(3, 3);
    foreign.prompt[1] = TokenId(1000);
    for request in [request(0, 3), foreign] {
        let actions = submit(&mut scheduler, 1, request);
        let refusal = Refusal::Invalid { reason: String::new() };
        let [Action::Refuse { refusal: found, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(std::mem::discriminant(found), std::mem::discriminant(&refusal));
    }
}
