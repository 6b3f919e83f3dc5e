//! A worker goes from an epoch to a later one and never back, and so do the plans in the log: what
//! belongs to an older plan must not run again.

use std::collections::BTreeMap;

use protocol::ids::{Epoch, ReplicaId};

use super::Invariant;
use crate::sim::group::Observation;

#[derive(Default)]
pub(super) struct EpochsOnlyRise {
    /// By worker, its life, and replica.
    held: BTreeMap<(usize, u64, ReplicaId), Epoch>,
    /// By coordinator and replica.
    placed: BTreeMap<(usize, ReplicaId), (u64, Epoch)>,
}

impl Invariant for EpochsOnlyRise {
    fn name(&self) -> &'static str {
        "epochs_only_rise"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Held { worker, life, key } => {
                let held = self.held.entry((*worker, *life, key.replica)).or_insert(key.epoch);
                if key.epoch < *held {
                    return Err(format!("w{worker} went from epoch {held} back to {key}"));
                }
                *held = key.epoch;
            }
            Observation::Applied { coordinator, state } => {
                for deployment in state.deployments.values() {
                    let Some(epoch) = deployment.epoch() else { continue };
                    let applied = state.applied;
                    let place = (*coordinator, deployment.replica);
                    let placed = self.placed.entry(place).or_insert((applied, epoch));
                    if epoch > Epoch(applied) || (applied >= placed.0 && epoch < placed.1) {
                        let (before, was) = *placed;
                        return Err(format!(
                            "c{coordinator} has epoch {epoch} at {applied}, {was} at {before}"
                        ));
                    }
                    *placed = (applied, epoch);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
