//! `Tick`: a step that does not come back is noticed exactly at its deadline.

use protocol::generate::Refusal;

use super::*;

#[test]
fn a_step_without_a_result_means_that_the_pipeline_is_lost() {
    let mut scheduler = with(|_| {});
    assert_eq!(scheduler.deadline(), None);
    submit(&mut scheduler, 1, request(5, 3));
    let deadline = scheduler.deadline().expect("a step is in flight");
    assert_eq!(deadline, NOW + Duration::from_secs(10));

    let before = deadline - Duration::from_nanos(1);
    assert_eq!(scheduler.step(Event::Tick, before), []);
    let actions = scheduler.step(Event::Tick, deadline);
    let reason = "step 0 had no result within 10 s".to_owned();
    let refusal = Refusal::PipelineLost { reason: reason.clone() };
    assert_eq!(actions, [Action::Refuse { key: key(1), refusal }, Action::Abandon { reason }]);
    assert_eq!(scheduler.deadline(), None);
}

#[test]
fn an_idle_pipeline_has_no_deadline() {
    let mut scheduler = with(|_| {});
    let first = batch(&submit(&mut scheduler, 1, request(5, 1)));
    answer(&mut scheduler, &first, 9);
    assert_eq!(scheduler.step(Event::Tick, NOW + Duration::from_secs(3600)), []);
}
