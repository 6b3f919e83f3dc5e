//! No request is applied twice, however often it is sent: a key that is new when it is asked for is
//! never refused as taken.

use coordinator::state::{Change, Outcome};

use super::Invariant;
use crate::sim::group::Observation;

pub(super) struct AppliedOnce;

impl Invariant for AppliedOnce {
    fn name(&self) -> &'static str {
        "applied_once"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Acknowledged { request, change, outcome } = observation else {
            return Ok(());
        };
        match (change, outcome) {
            (Change::AddKey { name, .. }, Outcome::Refused(refusal)) => {
                Err(format!("{request} for the new key {name} was refused: {}", refusal.message))
            }
            _ => Ok(()),
        }
    }
}
