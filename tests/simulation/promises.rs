//! Promised times, exact under the virtual clock: how soon a fault is answered by a new plan.

use std::time::Duration;

use tests::sim::{self, Fault, Place, Summary};

const AT: Duration = Duration::from_secs(6);
const BACK: Duration = Duration::from_secs(15);
/// The reconciler looks every 50 ms; a proposal is committed within 20 ms.
const REACTION: Duration = Duration::from_millis(70);

/// The worker of each stage that runs at `AT`, head first.
fn stages(seed: u64) -> Vec<usize> {
    let nothing = Fault::DialTwice { worker: 0 };
    let undisturbed = play(seed, nothing);
    assert_eq!(undisturbed.plans.len(), 1, "nothing happened, yet: {:?}", undisturbed.plans);
    undisturbed.plans[0].1.clone()
}

fn play(seed: u64, fault: Fault) -> Summary {
    sim::run_one_fault(seed, AT, fault).unwrap_or_else(|why| panic!("{fault:?}: {why}"))
}

/// How long after the fault the next plan was committed; it must be without the lost worker.
fn replanned_after(summary: &Summary, lost: usize) -> Duration {
    let (when, nodes) = summary.plans.get(1).expect("a new plan");
    assert!(!nodes.contains(&lost), "planned on worker {lost}, which is gone");
    *when - AT
}

#[test]
fn a_killed_worker_is_replaced_at_once_whatever_its_stage() {
    for worker in stages(1) {
        let fault = Fault::Kill { place: Place::Worker(worker), back: BACK };
        let summary = play(1, fault);
        // The kernel resets its streams within 8 ms; it has 100 ms to come back.
        let limit = Duration::from_millis(108) + REACTION;
        let after = replanned_after(&summary, worker);
        assert!(after <= limit, "{after:?} for worker {worker}");
        assert_eq!(summary.failures, 0, "every client got its whole answer");
        assert!(summary.resumes > 0, "nobody was streaming");
    }
}

#[test]
fn a_silent_worker_is_replaced_after_the_failure_timeout() {
    for worker in stages(1) {
        let fault = Fault::PowerOff { place: Place::Worker(worker), back: BACK };
        let summary = play(1, fault);
        let (least, most) = (Duration::from_millis(750), Duration::from_millis(1_200));
        let after = replanned_after(&summary, worker);
        assert!((least..=most + REACTION).contains(&after), "{after:?} for worker {worker}");
        assert_eq!(summary.failures, 0, "every client got its whole answer");
    }
}

#[test]
fn the_loss_of_the_leader_disturbs_no_stream() {
    let leader = Place::Coordinator(0);
    let summary = play(1, Fault::Kill { place: leader, back: BACK });
    assert_eq!(summary.plans.len(), 1, "the plan stays: {:?}", summary.plans);
    assert_eq!((summary.resumes, summary.failures), (0, 0));
    assert!(summary.whole_answers > 10);
}

#[test]
fn a_hiccup_shorter_than_the_timeout_changes_no_plan() {
    for worker in stages(1) {
        let until = AT + Duration::from_millis(700);
        let summary = play(1, Fault::Freeze { worker, until });
        assert_eq!(summary.plans.len(), 1, "worker {worker}: {:?}", summary.plans);
        assert_eq!((summary.resumes, summary.failures), (0, 0));
    }
}
