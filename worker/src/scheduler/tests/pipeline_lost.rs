//! `PipelineLost`: every stream is told at once, and nothing is dispatched any more.

use protocol::generate::Refusal;

use super::*;

#[test]
fn running_and_waiting_streams_are_refused_so_that_they_resume_elsewhere() {
    let mut scheduler = with(|_| {});
    let first = batch(&submit(&mut scheduler, 1, request(5, 3)));
    submit(&mut scheduler, 2, request(5, 3));
    let reason = "edge 0 to 1 is gone".to_owned();
    let refused = |number| Action::Refuse {
        key: key(number),
        refusal: Refusal::PipelineLost { reason: reason.clone() },
    };
    let lost = Event::PipelineLost { reason: reason.clone() };
    assert_eq!(scheduler.step(lost.clone(), NOW), [refused(1), refused(2)]);
    assert!(scheduler.is_idle());
    assert_eq!(scheduler.load().blocks_free, 32);

    assert_eq!(answer(&mut scheduler, &first, 9), [], "a late result changes nothing");
    assert_eq!(submit(&mut scheduler, 3, request(5, 3)), [refused(3)]);
    assert_eq!(scheduler.step(lost, NOW), []);
}
