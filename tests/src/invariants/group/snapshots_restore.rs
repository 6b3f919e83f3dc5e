//! A snapshot restores the very state it was made of, and says who is in the group: a coordinator
//! that starts from it must know whose votes count.

use coordinator::state::State;

use super::Invariant;
use crate::sim::group::{Observation, snapshot_content};

pub(super) struct SnapshotsRestore;

impl Invariant for SnapshotsRestore {
    fn name(&self) -> &'static str {
        "snapshots_restore"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Snapshot { coordinator, bytes } = observation else { return Ok(()) };
        let unreadable = |why: serde_json::Error| format!("c{coordinator}'s snapshot: {why}");
        let content = snapshot_content(bytes).map_err(unreadable)?;
        let voters = &content["meta"]["last_membership"]["membership"]["configs"];
        if voters.as_array().is_none_or(Vec::is_empty) {
            return Err(format!("c{coordinator}'s snapshot does not say who is in the group"));
        }
        let state = serde_json::to_string(&content["state"]).map_err(unreadable)?;
        let read: State = serde_json::from_str(&state).map_err(unreadable)?;
        if serde_json::to_string(&read).map_err(unreadable)? != state {
            return Err(format!("c{coordinator} restores another state than it saved"));
        }
        Ok(())
    }
}
