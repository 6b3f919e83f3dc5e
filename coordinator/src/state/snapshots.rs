//! Snapshots that were taken of the cluster, and the one that it was restored from.

use protocol::admin::OperationState;
use protocol::control::{CoordinatorEndpoint, Role};
use protocol::ids::NodeId;
use serde::{Deserialize, Serialize};

use super::State;
use super::members::{Member, check_name};
use super::outcome::{Outcome, Refusal};
use super::timestamp::Timestamp;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SnapshotState {
    pub last_taken: Option<Taken>,
    pub restored: Option<Restored>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    pub id: String,
    pub at: Timestamp,
}

/// The cluster goes on from a snapshot, under another CA: nodes of before are strangers until they
/// join again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restored {
    /// How often that was; certificates of different generations have different CAs.
    pub generation: u64,
    pub at: Timestamp,
    /// Log index of the snapshot.
    pub from_index: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotChange {
    /// Written before a snapshot is read, which then holds it: whoever took one is on record, and
    /// the reader knows how far its own copy must have come.
    Take { id: String },
    /// Never in a log: the first change to a state that was read from a snapshot.
    Restore {
        ca_pem: String,
        /// The one coordinator that the cluster begins with.
        node: NodeId,
        name: String,
        endpoint: CoordinatorEndpoint,
    },
}

impl SnapshotChange {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Take { .. } => "take-snapshot",
            Self::Restore { .. } => "restore-snapshot",
        }
    }
}

impl State {
    pub(super) fn change_snapshots(&mut self, change: SnapshotChange) -> Result<Outcome, Refusal> {
        match change {
            SnapshotChange::Take { id } => {
                self.snapshots.last_taken = Some(Taken { id, at: self.clock });
                Ok(Outcome::Done)
            }
            SnapshotChange::Restore { ca_pem, node, name, endpoint } => {
                check_name("node name", &name)?;
                self.restore(ca_pem, node, name, endpoint);
                Ok(Outcome::Done)
            }
        }
    }

    /// Keys, members, models and deployments stay; what pinned the old CA goes, and nobody is sent
    /// to addresses of before.
    fn restore(
        &mut self,
        ca_pem: String,
        node: NodeId,
        name: String,
        endpoint: CoordinatorEndpoint,
    ) {
        self.ca_pem = ca_pem;
        self.identity.rotation = None;
        self.identity.certificates.clear();
        self.tokens.clear();
        for operation in self.operations.values_mut() {
            if operation.state == OperationState::Running {
                operation.state = OperationState::Failed;
                operation.note = "the cluster was restored from a snapshot meanwhile".to_owned();
            }
        }
        for member in self.members.values_mut() {
            member.endpoint = None;
        }
        self.removed.remove(&node);
        let member = Member::new(name, Role::Coordinator, self.clock, Some(endpoint));
        self.members.insert(node, member);
        let generation = self.snapshots.restored.as_ref().map_or(0, |r| r.generation) + 1;
        let from_index = self.applied.saturating_sub(1);
        self.snapshots.restored = Some(Restored { generation, at: self.clock, from_index });
    }
}
