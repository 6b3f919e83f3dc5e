//! Once the faults are over every request is answered: nobody waits for ever, and the group heals
//! by itself.

use super::Invariant;
use crate::sim::group::Observation;

pub(super) struct EveryProposalEnds;

impl Invariant for EveryProposalEnds {
    fn name(&self) -> &'static str {
        "every_proposal_ends"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::End { now, waiting: [first, ..], .. } => {
                Err(format!("{first} still waits after {now:?}"))
            }
            _ => Ok(()),
        }
    }
}
