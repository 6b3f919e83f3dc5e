//! Coordinators that applied the same entries hold the same state, bit for bit: else they would
//! decide differently from then on.

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator::state::State;

use super::Invariant;
use crate::sim::group::Observation;

#[derive(Default)]
pub(super) struct StatesAgree {
    /// By the index of the last entry.
    known: BTreeMap<u64, Arc<State>>,
}

impl Invariant for StatesAgree {
    fn name(&self) -> &'static str {
        "states_agree"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Applied { coordinator, state } => {
                let known = self.known.entry(state.applied).or_insert_with(|| Arc::clone(state));
                if known != *state {
                    let at = state.applied;
                    return Err(format!("c{coordinator} holds another state at {at} than others"));
                }
                Ok(())
            }
            Observation::End { states, .. } => {
                let bytes = |state: &State| serde_json::to_vec(state).map_err(|e| e.to_string());
                let Some((first, rest)) = states.split_first() else { return Ok(()) };
                for (index, state) in rest {
                    if bytes(state)? != bytes(&first.1)? {
                        let (a, b) = (first.1.applied, state.applied);
                        let first = first.0;
                        return Err(format!("c{first} at {a} and c{index} at {b} differ"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
