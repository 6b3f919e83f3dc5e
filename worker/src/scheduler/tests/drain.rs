//! `Drain` and `Stop`: nothing new, the queue goes elsewhere, what runs ends, then the rest too.

use protocol::generate::{FinishReason, Refusal};

use super::*;

fn shutting_down(number: u64) -> Action {
    Action::Refuse { key: key(number), refusal: Refusal::ShuttingDown }
}

#[test]
fn a_drain_finishes_what_runs_and_sends_the_rest_away() {
    let mut scheduler = with(|_| {});
    let first = batch(&submit(&mut scheduler, 1, request(5, 2)));
    submit(&mut scheduler, 2, request(5, 2));
    assert_eq!(scheduler.step(Event::Drain, NOW), [shutting_down(2)]);
    assert_eq!(submit(&mut scheduler, 3, request(5, 2)), [shutting_down(3)]);
    let second = batch(&answer(&mut scheduler, &first, 9));
    assert!(!scheduler.is_idle());
    let end = Action::Finish { key: key(1), reason: FinishReason::Length };
    assert_eq!(answer(&mut scheduler, &second, 8), [emit(1, 8), end]);
    assert!(scheduler.is_idle());
}

#[test]
fn a_stop_ends_what_the_drain_left() {
    let mut scheduler = with(|_| {});
    let first = batch(&submit(&mut scheduler, 1, request(5, 20)));
    scheduler.step(Event::Drain, NOW);
    assert_eq!(scheduler.step(Event::Stop, NOW), [shutting_down(1)]);
    assert!(scheduler.is_idle());
    assert_eq!(answer(&mut scheduler, &first, 9), []);
}
