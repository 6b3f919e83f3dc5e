//! The life of a request, event by event.

use protocol::generate::{EmittedToken, Refusal};
use protocol::ids::{Digest, Epoch, NodeId, ReplicaId};
use protocol::model_spec::{KvType, LayerRange};
use protocol::plan::{
    ActivationType, CollectiveKind, KvPlan, Plan, PlanParts, RankPlan, Share, Sharing, StagePlan,
};

use super::*;
use crate::gateway::router::Shortage;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Patience = Patience {
    plan: Duration::from_secs(60),
    accept: Duration::from_secs(10),
    first_token: Duration::from_secs(300),
    silence: Duration::from_secs(120),
    total: Duration::from_secs(3600),
};

fn life(tokens_max: u32) -> RequestLife {
    let spec = ChoiceSpec {
        request_id: "r".into(),
        prompt: [1, 2, 3].map(TokenId).into(),
        sampling: SamplingParams::default(),
        choice_seed: 9,
        tokens_max,
    };
    RequestLife::new(spec, PATIENCE, Duration::ZERO)
}

fn target(replica: u64, epoch: u64) -> Target {
    let form = ReplicaForm {
        manifest: Digest([1; 32]),
        kv_type: KvType::F16,
        activation: ActivationType::F32,
    };
    let (replica, epoch) = (ReplicaId(replica), Epoch(epoch));
    let (node, sharing) = (NodeId([0; 32]), Sharing::default());
    Target { replica, epoch, node, form, sharing, waiting: 0, running: 0 }
}

fn route(targets: &[(u64, u64)]) -> Event {
    let targets = targets.iter().map(|&(r, e)| target(r, e)).collect();
    Event::Route(Route { targets, shortage: None })
}

fn shortage(kind: ShortageKind) -> Event {
    let shortage = Some(Shortage { kind, reason: "needs 9.1 GiB more".into() });
    Event::Route(Route { targets: Vec::new(), shortage })
}

fn head(attempt: u32, (replica, epoch): (u64, u64), event: GenerateEvent) -> Event {
    let (replica, epoch) = (ReplicaId(replica), Epoch(epoch));
    Event::Head { attempt: Attempt(attempt), replica, epoch, event }
}

fn token(id: u32) -> EmittedToken {
    EmittedToken { token: TokenId(id), logprobs: None }
}

/// Submitted to (1, 5), accepted, and `tokens` emitted: 100, 101, ...
fn running(tokens: u32, tokens_max: u32) -> RequestLife {
    let mut life = life(tokens_max);
    life.step(route(&[(1, 5)]), Duration::ZERO);
    life.step(head(1, (1, 5), GenerateEvent::Accepted), Duration::ZERO);
    for i in 0..tokens {
        life.step(head(1, (1, 5), GenerateEvent::Token(token(100 + i))), Duration::ZERO);
    }
    life
}

/// (attempt, replica, epoch, emitted, resumed) of the only submission among the actions.
fn submission(actions: &[Action]) -> (u32, u64, u64, Vec<u32>, bool) {
    let submissions: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Submit { attempt, target, request } => {
                let emitted = request.emitted.iter().map(|t| t.0).collect();
                Some((attempt.0, target.replica.0, target.epoch.0, emitted, request.resumed))
            }
            _ => None,
        })
        .collect();
    assert_eq!(submissions.len(), 1, "{actions:?}");
    submissions[0].clone()
}

fn failure(actions: &[Action]) -> &Failure {
    match actions.last() {
        Some(Action::Fail(failure)) => failure,
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[test]
fn a_ready_replica_gets_the_whole_request() {
    let actions = life(10).step(route(&[(1, 5)]), Duration::ZERO);
    let Action::Submit { request, .. } = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(request.prompt, [1, 2, 3].map(TokenId));
    assert_eq!((request.choice_seed, request.tokens_max, request.resumed), (9, 10, false));
}

/// The shares of a plan of one stage of as many ranks.
fn sharing(ranks: u32) -> Sharing {
    let rank = |start| RankPlan {
        node: NodeId([start as u8; 32]),
        device: 0,
        share: Share { start, units: 1, of: ranks },
    };
    let kv = KvPlan {
        kv_type: KvType::F16,
        block_size: 16,
        blocks: 8,
        context_length: 128,
        sequences_max: 4,
        step_tokens_max: 64,
    };
    let stage = StagePlan {
        layers: LayerRange::new(0, 2),
        ranks: (0..ranks).map(rank).collect(),
        collective: CollectiveKind::Direct,
    };
    let parts = PlanParts {
        manifest: Digest([1; 32]),
        layer_count: 2,
        stages: vec![stage],
        kv,
        activation: ActivationType::F32,
    };
    Plan::new(parts).expect("valid").sharing()
}

#[test]
fn an_answer_that_goes_on_in_other_shares_says_so_once_it_has_words() {
    let shared = |epoch, ranks| Target { sharing: sharing(ranks), ..target(1, epoch) };
    let route =
        |epoch, ranks| Event::Route(Route { targets: vec![shared(epoch, ranks)], shortage: None });
    for (tokens, ranks, marked) in [(2, 1, true), (2, 2, false), (0, 1, false)] {
        let mut life = life(10);
        life.step(route(5, 2), Duration::ZERO);
        life.step(head(1, (1, 5), GenerateEvent::Accepted), Duration::ZERO);
        for i in 0..tokens {
            life.step(head(1, (1, 5), GenerateEvent::Token(token(100 + i))), Duration::ZERO);
        }
        life.step(route(6, ranks), Duration::from_millis(1));
        let actions = life.step(head(2, (1, 6), GenerateEvent::Accepted), Duration::from_millis(2));
        let says_so = actions.contains(&Action::Reshared);
        assert_eq!(says_so, marked, "{tokens} tokens, then {ranks} ranks: {actions:?}");
    }
}

#[test]
fn the_least_loaded_replica_is_asked_first() {
    let busy = Target { waiting: 3, ..target(1, 5) };
    let idle = Target { running: 2, ..target(2, 6) };
    let targets = vec![busy, idle];
    let actions = life(10).step(Event::Route(Route { targets, shortage: None }), Duration::ZERO);
    assert_eq!(submission(&actions).1, 2);
}

#[test]
fn tokens_are_passed_on_and_the_end_ends_it() {
    let mut life = running(2, 10);
    assert_eq!(life.emitted(), [100, 101].map(TokenId));
    let end = head(1, (1, 5), GenerateEvent::Finished(FinishReason::Stop));
    assert_eq!(life.step(end, SECOND), [Action::Finish(FinishReason::Stop)]);
    assert!(life.ended());
    assert_eq!(life.deadline(), None);
}

#[test]
fn a_lost_pipeline_is_followed_to_the_next_epoch_with_what_was_emitted() {
    let mut life = running(2, 10);
    let lost = GenerateEvent::Refused(Refusal::PipelineLost { reason: "stage 1".into() });
    assert_eq!(life.step(head(1, (1, 5), lost), SECOND), []);
    let actions = life.step(route(&[(1, 6)]), SECOND);
    assert_eq!(submission(&actions), (2, 1, 6, vec![100, 101], true));
}

#[test]
fn a_broken_stream_goes_to_another_ready_replica_at_once() {
    let mut life = running(1, 10);
    life.step(route(&[(1, 5), (2, 7)]), SECOND);
    let actions = life.step(Event::Lost { attempt: Attempt(1), reason: "reset".into() }, SECOND);
    assert_eq!(submission(&actions), (2, 2, 7, vec![100], true));
}

#[test]
fn a_broken_stream_to_the_only_replica_is_opened_again_after_a_pause() {
    let mut life = running(1, 10);
    let lost = Event::Lost { attempt: Attempt(1), reason: "reset".into() };
    assert_eq!(life.step(lost, SECOND), []);
    let at = life.deadline().expect("a timer");
    assert!(at > SECOND && at < SECOND * 2);
    assert_eq!(submission(&life.step(Event::Timer, at)).0, 2);
}

#[test]
fn an_unreachable_replica_is_asked_less_and_less_often_until_the_wait_is_over() {
    let mut life = life(10);
    let mut now = Duration::ZERO;
    let mut actions = life.step(route(&[(1, 5)]), now);
    let mut attempts = 0;
    while !matches!(actions.last(), Some(Action::Fail(_))) {
        if let Some(Action::Submit { attempt, .. }) = actions.last() {
            attempts += 1;
            let lost = Event::Lost { attempt: *attempt, reason: "no route".into() };
            life.step(lost, now);
        }
        now = life.deadline().expect("alive");
        actions = life.step(Event::Timer, now);
    }
    assert_eq!(now, PATIENCE.plan);
    assert!((60..120).contains(&attempts), "{attempts}");
    let Failure::NoReplica { lost, ran, .. } = failure(&actions) else { panic!("{actions:?}") };
    assert_eq!((lost.as_deref(), *ran), (Some("no route"), false));
}

#[test]
fn frames_of_an_older_submission_change_nothing() {
    let mut life = running(1, 10);
    life.step(Event::Lost { attempt: Attempt(1), reason: "reset".into() }, SECOND);
    life.step(route(&[(1, 6)]), SECOND);
    assert_eq!(life.step(head(1, (1, 5), GenerateEvent::Token(token(7))), SECOND), []);
    assert_eq!(life.step(Event::Lost { attempt: Attempt(1), reason: "late".into() }, SECOND), []);
    assert_eq!(life.emitted(), [TokenId(100)]);
}

#[test]
fn a_token_of_another_epoch_is_never_taken() {
    let mut life = running(1, 10);
    let actions = life.step(head(1, (1, 4), GenerateEvent::Token(token(7))), SECOND);
    assert_eq!(actions[0], Action::Cancel { attempt: Attempt(1) });
    assert_eq!(life.emitted(), [TokenId(100)]);
}

#[test]
fn a_newer_epoch_of_the_replica_replaces_a_head_that_says_nothing() {
    let mut life = running(3, 10);
    let actions = life.step(route(&[(1, 8)]), SECOND);
    assert_eq!(actions[0], Action::Cancel { attempt: Attempt(1) });
    assert_eq!(submission(&actions), (2, 1, 8, vec![100, 101, 102], true));
}

#[test]
fn a_replica_that_is_not_listed_any_more_goes_on_serving() {
    let mut life = running(1, 10);
    assert_eq!(life.step(shortage(ShortageKind::NoCapacity), SECOND), []);
    let actions = life.step(head(1, (1, 5), GenerateEvent::Token(token(7))), SECOND);
    assert_eq!(actions, [Action::Emit(token(7))]);
}

#[test]
fn not_yet_is_asked_again_soon() {
    let mut life = life(10);
    life.step(route(&[(1, 5)]), Duration::ZERO);
    let refused = GenerateEvent::Refused(Refusal::NotYet);
    assert_eq!(life.step(head(1, (1, 5), refused), Duration::ZERO), []);
    let at = life.deadline().expect("a timer");
    assert_eq!(at, PAUSE_MIN);
    assert_eq!(submission(&life.step(Event::Timer, at)).2, 5);
}

#[test]
fn a_stale_epoch_waits_for_the_newer_one() {
    let mut life = life(10);
    life.step(route(&[(1, 5)]), Duration::ZERO);
    // The refusing head names its own epoch.
    let refused = GenerateEvent::Refused(Refusal::StaleEpoch);
    assert_eq!(life.step(head(1, (1, 6), refused), Duration::ZERO), []);
    assert_eq!(submission(&life.step(route(&[(1, 6)]), PAUSE_MIN)).2, 6);
}

#[test]
fn a_full_queue_is_told_at_once_when_no_other_replica_has_room() {
    let full = || GenerateEvent::Refused(Refusal::QueueFull { waiting: 12 });
    let mut life = life(10);
    life.step(route(&[(1, 5), (2, 6)]), Duration::ZERO);
    let actions = life.step(head(1, (1, 5), full()), Duration::ZERO);
    assert_eq!(submission(&actions).1, 2);
    let actions = life.step(head(2, (2, 6), full()), Duration::ZERO);
    assert_eq!(failure(&actions), &Failure::QueueFull { waiting: 12 });
}

#[test]
fn a_stream_that_ran_is_never_refused_for_a_full_queue() {
    let mut life = running(1, 10);
    let full = GenerateEvent::Refused(Refusal::QueueFull { waiting: 12 });
    assert_eq!(life.step(head(1, (1, 5), full), SECOND), []);
    assert!(!life.ended());
}

#[test]
fn too_long_is_an_error_before_the_first_token_and_an_end_after_it() {
    let long = || GenerateEvent::Refused(Refusal::TooLong { tokens: 50, limit: 40 });
    let mut fresh = life(10);
    fresh.step(route(&[(1, 5)]), Duration::ZERO);
    let actions = fresh.step(head(1, (1, 5), long()), Duration::ZERO);
    assert_eq!(failure(&actions), &Failure::TooLong { tokens: 50, limit: 40 });
    let actions = running(1, 10).step(head(1, (1, 5), long()), SECOND);
    assert_eq!(actions, [Action::Finish(FinishReason::Length)]);
}

#[test]
fn a_whole_answer_needs_no_replica_to_end() {
    let mut life = running(3, 3);
    let actions = life.step(Event::Lost { attempt: Attempt(1), reason: "reset".into() }, SECOND);
    assert_eq!(actions, [Action::Finish(FinishReason::Length)]);
}

#[test]
fn a_token_too_many_is_not_shown() {
    let actions = running(3, 3).step(head(1, (1, 5), GenerateEvent::Token(token(7))), SECOND);
    let cancel = Action::Cancel { attempt: Attempt(1) };
    assert_eq!(actions, [cancel, Action::Finish(FinishReason::Length)]);
}

#[test]
fn without_a_replica_the_wait_ends_with_what_is_missing() {
    let mut life = life(10);
    life.step(shortage(ShortageKind::NoCapacity), Duration::ZERO);
    assert_eq!(life.deadline(), Some(PATIENCE.plan));
    assert_eq!(life.step(Event::Timer, PATIENCE.plan - SECOND), []);
    let actions = life.step(Event::Timer, PATIENCE.plan);
    let Failure::NoReplica { shortage, waited, ran, .. } = failure(&actions) else { panic!() };
    assert_eq!(shortage.as_ref().map(|s| s.reason.as_str()), Some("needs 9.1 GiB more"));
    assert_eq!((*waited, *ran), (PATIENCE.plan, false));
}

#[test]
fn the_wait_of_a_lost_stream_starts_with_the_loss() {
    let mut life = running(1, 10);
    let late = SECOND * 200;
    life.step(head(1, (1, 5), GenerateEvent::Token(token(7))), late);
    life.step(shortage(ShortageKind::NoCapacity), late);
    life.step(Event::Lost { attempt: Attempt(1), reason: "reset".into() }, late);
    assert_eq!(life.step(Event::Timer, late + PATIENCE.plan - SECOND), []);
    let actions = life.step(Event::Timer, late + PATIENCE.plan);
    assert!(matches!(failure(&actions), Failure::NoReplica { ran: true, .. }));
}

#[test]
fn a_model_that_is_gone_is_not_waited_for() {
    let actions = life(10).step(shortage(ShortageKind::Gone), Duration::ZERO);
    assert!(matches!(failure(&actions), Failure::NoReplica { .. }));
}

#[test]
fn a_resumed_sequence_stays_on_replicas_that_give_the_same_bits() {
    let mut life = running(1, 10);
    let mut other = target(2, 9);
    other.form.kv_type = KvType::F32;
    let event = Event::Route(Route { targets: vec![other], shortage: None });
    assert_eq!(life.step(event, SECOND), []);
    let lost = Event::Lost { attempt: Attempt(1), reason: "reset".into() };
    assert_eq!(life.step(lost, SECOND), []);
}

#[test]
fn a_head_that_does_not_answer_is_given_up() {
    let mut life = life(10);
    life.step(route(&[(1, 5)]), Duration::ZERO);
    assert_eq!(life.deadline(), Some(PATIENCE.accept));
    let actions = life.step(Event::Timer, PATIENCE.accept);
    assert_eq!(actions, [Action::Cancel { attempt: Attempt(1) }]);
    assert!(!life.ended());
}

#[test]
fn a_queue_that_does_not_move_ends_in_an_error() {
    let actions = running(0, 10).step(Event::Timer, PATIENCE.first_token);
    assert!(matches!(failure(&actions), Failure::Overdue { .. }));
}

#[test]
fn a_silent_head_is_replaced_after_the_first_token() {
    let mut life = running(1, 10);
    let actions = life.step(Event::Timer, PATIENCE.silence);
    assert_eq!(actions, [Action::Cancel { attempt: Attempt(1) }]);
    let at = life.deadline().expect("a timer");
    assert_eq!(submission(&life.step(Event::Timer, at)).3, [100]);
}

#[test]
fn nothing_lasts_longer_than_the_total() {
    let mut life = running(0, 100_000);
    let mut now = Duration::ZERO;
    let actions = loop {
        now += PATIENCE.silence / 2;
        let mut actions = life.step(Event::Timer, now);
        if actions.is_empty() {
            actions = life.step(head(1, (1, 5), GenerateEvent::Token(token(7))), now);
        }
        if life.ended() {
            break actions;
        }
    };
    assert_eq!(now, PATIENCE.total);
    assert!(matches!(failure(&actions), Failure::Overdue { .. }));
}

#[test]
fn a_sequence_that_breaks_every_replica_is_given_up() {
    let mut life = life(10);
    let mut actions = life.step(route(&[(1, 1)]), Duration::ZERO);
    for epoch in 1.. {
        let attempt = submission(&actions).0;
        life.step(head(attempt, (1, epoch), GenerateEvent::Accepted), SECOND);
        let lost = Event::Lost { attempt: Attempt(attempt), reason: "crash".into() };
        actions = life.step(lost, SECOND);
        if life.ended() {
            break;
        }
        actions = life.step(route(&[(1, epoch + 1)]), SECOND);
    }
    assert_eq!(failure(&actions), &Failure::Unlucky { losses: LOSSES_MAX, reason: "crash".into() });
}

#[test]
fn a_stop_string_cancels_the_head_and_ends_with_stop() {
    let actions = running(1, 10).step(Event::StopString, SECOND);
    let cancel = Action::Cancel { attempt: Attempt(1) };
    assert_eq!(actions, [cancel, Action::Finish(FinishReason::Stop)]);
}

#[test]
fn a_client_that_leaves_cancels_wherever_the_request_is() {
    assert_eq!(life(10).step(Event::ClientGone, SECOND), []);
    let mut sent = life(10);
    sent.step(route(&[(1, 5)]), Duration::ZERO);
    for mut life in [sent, running(0, 10), running(2, 10)] {
        let actions = life.step(Event::ClientGone, SECOND);
        assert_eq!(actions, [Action::Cancel { attempt: Attempt(1) }]);
        assert!(life.ended());
        assert_eq!(life.step(route(&[(1, 6)]), SECOND), []);
    }
}

#[test]
fn a_cancellation_that_nobody_asked_for_is_a_loss() {
    let mut life = running(1, 10);
    let event = GenerateEvent::Finished(FinishReason::Cancelled);
    assert_eq!(life.step(head(1, (1, 5), event), SECOND), []);
    let at = life.deadline().expect("a timer");
    assert_eq!(submission(&life.step(Event::Timer, at)).3, [100]);
}
