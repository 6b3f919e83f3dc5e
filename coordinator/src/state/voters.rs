//! Which coordinators a person wants to vote.

use protocol::control::Role;
use protocol::ids::NodeId;
use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, Refusal, RefusalCode};
use super::{Applying, State};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoterChange {
    /// Prefers a coordinator: it votes as soon as it is caught up, if need be in another's place.
    Promote { node: NodeId },
}

impl VoterChange {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Promote { .. } => "promote-coordinator",
        }
    }
}

impl State {
    /// Log index at which a person last preferred `node` as a voter; 0 for never.
    pub fn promoted(&self, node: NodeId) -> u64 {
        self.promoted.get(&node).copied().unwrap_or(0)
    }

    pub(super) fn change_voters(
        &mut self,
        applying: Applying,
        change: VoterChange,
    ) -> Result<Outcome, Refusal> {
        let VoterChange::Promote { node } = change;
        let member = self.members.get(&node).ok_or_else(|| Refusal::no_node(&node.short()))?;
        if member.role != Role::Coordinator {
            return Err(Refusal::new(
                RefusalCode::Precondition,
                format!("`{}` is a {}, only coordinators vote", member.name, member.role.name()),
                "list them: trireme cluster members ls",
            ));
        }
        self.promoted.retain(|id, _| self.members.contains_key(id));
        self.promoted.insert(node, applying.index);
        Ok(Outcome::Done)
    }
}
