//! What must hold of the control plane, whatever happens: one invariant per file.

mod applied_once;
mod committed_survives;
mod epochs_only_rise;
mod every_proposal_ends;
mod one_vote_per_term;
mod removed_stays_out;
mod snapshots_restore;
mod states_agree;

use crate::sim::group::Observation;

pub trait Invariant {
    fn name(&self) -> &'static str;
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String>;
}

pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(committed_survives::CommittedSurvives::default()),
        Box::new(applied_once::AppliedOnce),
        Box::new(states_agree::StatesAgree::default()),
        Box::new(one_vote_per_term::OneVotePerTerm::default()),
        Box::new(epochs_only_rise::EpochsOnlyRise::default()),
        Box::new(removed_stays_out::RemovedStaysOut::default()),
        Box::new(snapshots_restore::SnapshotsRestore),
        Box::new(every_proposal_ends::EveryProposalEnds),
    ]
}
