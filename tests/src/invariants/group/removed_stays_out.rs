//! A node that was removed is in no later state and no later plan: its certificate still looks
//! good, so only the state keeps it out.

use std::collections::BTreeMap;

use protocol::ids::{Epoch, NodeId};

use super::Invariant;
use crate::sim::group::Observation;

#[derive(Default)]
pub(super) struct RemovedStaysOut {
    /// The earliest entry at which each was seen to be out.
    since: BTreeMap<NodeId, u64>,
}

impl Invariant for RemovedStaysOut {
    fn name(&self) -> &'static str {
        "removed_stays_out"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Applied { coordinator, state } = observation else { return Ok(()) };
        let at = state.applied;
        for node in &state.removed {
            let since = self.since.entry(*node).or_insert(at);
            *since = (*since).min(at);
        }
        for (node, since) in self.since.iter().filter(|(_, since)| **since <= at) {
            if state.members.contains_key(node) || !state.removed.contains(node) {
                let node = node.short();
                return Err(format!("c{coordinator} at {at} knows {node}, out since {since}"));
            }
            let placed = state.deployments.values().filter_map(|d| d.placement.as_ref());
            let mut later = placed.filter(|placement| placement.epoch > Epoch(*since));
            if let Some(placement) = later.find(|p| p.plan.nodes().contains(node)) {
                let (node, epoch) = (node.short(), placement.epoch);
                return Err(format!("epoch {epoch} runs on {node}, out since {since}"));
            }
        }
        Ok(())
    }
}
