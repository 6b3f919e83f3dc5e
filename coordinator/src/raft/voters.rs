//! Which coordinators vote: pure, so that every case can be looked at.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::type_config::VoterId;

/// More voters make every change slower and survive no more than two losses anyway.
const VOTERS_MAX: usize = 5;

/// A member of the Raft group as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) id: VoterId,
    pub(super) votes: bool,
    /// Holds the leader's log but for a few entries.
    pub(super) is_caught_up: bool,
    /// For so long that another one had better vote.
    pub(super) is_silent: bool,
    /// Log index at which a person preferred it; 0 for never.
    pub(super) promoted: u64,
}

/// An odd number of voters, `leader` among them: an even one only adds a way to lose the quorum.
/// One that votes goes on voting unless a promoted one needs its place or it is silent and
/// another one is caught up.
pub(super) fn choose(leader: VoterId, candidates: &[Candidate]) -> BTreeSet<VoterId> {
    let may_vote = |c: &&Candidate| c.id == leader || c.votes || (c.is_caught_up && !c.is_silent);
    let mut fit: Vec<_> = candidates.iter().filter(may_vote).collect();
    fit.sort_by_key(|c| (c.id != leader, c.is_silent, Reverse(c.promoted), !c.votes, c.id));
    let count = match fit.len().min(VOTERS_MAX) {
        even if even % 2 == 0 => even.saturating_sub(1),
        odd => odd,
    };
    fit.iter().take(count).map(|c| c.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(id: u64) -> Candidate {
        let id = VoterId::from(id);
        Candidate { id, votes: true, is_caught_up: true, is_silent: false, promoted: 0 }
    }

    fn learner(id: u64) -> Candidate {
        Candidate { votes: false, ..voter(id) }
    }

    fn chosen(candidates: &[Candidate]) -> Vec<u64> {
        let leader = VoterId::from(0);
        let ids = choose(leader, candidates);
        (0..9).filter(|id| ids.contains(&VoterId::from(*id))).collect()
    }

    #[test]
    fn one_three_or_five_vote_and_the_leader_always_does() {
        let mut candidates = vec![voter(0)];
        for (id, voters) in [(1, 1), (2, 3), (3, 3), (4, 5), (5, 5)] {
            candidates.push(learner(id));
            let ids = chosen(&candidates);
            assert_eq!((ids.len(), ids[0]), (voters, 0), "{} coordinators", candidates.len());
        }
    }

    #[test]
    fn a_learner_that_lags_or_is_silent_does_not_vote() {
        let lagging = Candidate { is_caught_up: false, ..learner(2) };
        assert_eq!(chosen(&[voter(0), learner(1), lagging]), [0]);
        let silent = Candidate { is_silent: true, ..learner(2) };
        assert_eq!(chosen(&[voter(0), learner(1), silent]), [0]);
    }

    #[test]
    fn a_promoted_one_takes_the_place_of_another_and_keeps_it() {
        let promoted = Candidate { promoted: 7, ..learner(3) };
        assert_eq!(chosen(&[voter(0), voter(1), voter(2), promoted]), [0, 1, 3]);
        let votes = Candidate { votes: true, ..promoted };
        assert_eq!(chosen(&[voter(0), voter(1), learner(2), votes]), [0, 1, 3]);
        let later = Candidate { promoted: 9, ..learner(2) };
        assert_eq!(chosen(&[voter(0), voter(1), later, votes]), [0, 2, 3]);
    }

    #[test]
    fn a_silent_voter_gives_way_to_one_that_is_caught_up_and_stays_where_there_is_none() {
        let silent = Candidate { is_silent: true, ..voter(1) };
        assert_eq!(chosen(&[voter(0), silent, voter(2), learner(3)]), [0, 2, 3]);
        assert_eq!(chosen(&[voter(0), silent, voter(2)]), [0, 1, 2]);
    }
}
