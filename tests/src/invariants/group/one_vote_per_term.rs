//! A coordinator never gives away a vote that is below one it gave before, also after a crash:
//! else two leaders of one term could both have a quorum.

use std::collections::BTreeMap;

use protocol::ids::NodeId;

use super::Invariant;
use crate::sim::group::Observation;

#[derive(Default)]
pub(super) struct OneVotePerTerm {
    /// By coordinator; of one term the greater candidate is the higher vote.
    given: BTreeMap<usize, (u64, NodeId)>,
}

impl Invariant for OneVotePerTerm {
    fn name(&self) -> &'static str {
        "one_vote_per_term"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Granted { coordinator, term, candidate } = observation else {
            return Ok(());
        };
        let vote = (*term, *candidate);
        let given = self.given.entry(*coordinator).or_insert(vote);
        if vote < *given {
            let ((old, first), (new, second)) = (*given, vote);
            let (first, second) = (first.short(), second.short());
            return Err(format!(
                "c{coordinator} voted for {first} in term {old}, then for {second} in term {new}"
            ));
        }
        *given = vote;
        Ok(())
    }
}
