//! What was acknowledged is in the state of every later leader, and of all in the end: it was the
//! promise to whoever asked for it.

use std::collections::BTreeSet;

use coordinator::state::{Change, Outcome, State};
use protocol::ids::NodeId;

use super::Invariant;
use crate::sim::group::Observation;

#[derive(Default)]
pub(super) struct CommittedSurvives {
    keys: BTreeSet<String>,
    removed: BTreeSet<NodeId>,
}

impl Invariant for CommittedSurvives {
    fn name(&self) -> &'static str {
        "committed_survives"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Acknowledged { outcome: Outcome::Refused(_), .. } => {}
            Observation::Acknowledged { change: Change::AddKey { name, .. }, .. } => {
                self.keys.insert(name.clone());
            }
            Observation::Acknowledged { change: Change::RemoveNode { node, .. }, .. } => {
                self.removed.insert(*node);
            }
            Observation::Led { coordinator, state } => self.check(*coordinator, state)?,
            Observation::End { states, .. } => {
                states.iter().try_for_each(|(index, state)| self.check(*index, state))?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl CommittedSurvives {
    fn check(&self, coordinator: usize, state: &State) -> Result<(), String> {
        let at = state.applied;
        if let Some(lost) = self.keys.iter().find(|name| !state.keys.contains_key(*name)) {
            return Err(format!("c{coordinator} at {at} lacks {lost}, which was acknowledged"));
        }
        match self.removed.iter().find(|node| !state.removed.contains(node)) {
            Some(node) => Err(format!("c{coordinator} at {at} lacks the removal of {node}")),
            None => Ok(()),
        }
    }
}
