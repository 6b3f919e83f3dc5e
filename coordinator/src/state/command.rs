//! What the log holds: one change each, with its time, its level, who asked and the client's id.

mod json;

use std::collections::BTreeMap;
use std::fmt;

use protocol::admin::{DeployOptions, DeploymentState, KeyRole, OperationState};
use protocol::control::{CoordinatorEndpoint, ImportSummary, LOG_LEVEL, Role};
use protocol::ids::{Digest, Epoch, NodeId, ReplicaId};
use protocol::node_profile::{LinkProfile, NodeProfile};
use protocol::plan::Plan;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Actor;
use super::duty::NodeChange;
use super::identity::IdentityChange;
use super::keys::KeyChange;
use super::operations::OperationChange;
use super::settings::SettingsChange;
use super::snapshots::SnapshotChange;
use super::timestamp::Timestamp;
use super::voters::VoterChange;

/// A log entry. `apply` never reads a clock: `at` is all it knows of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    pub at: Timestamp,
    /// Of the log's format; the leader stamps it with what the whole group speaks.
    pub level: u32,
    /// A retried request changes nothing twice; empty when the proposer does not retry.
    pub request: String,
    pub actor: Actor,
    pub change: Change,
}

impl Command {
    /// A change of the cluster's own.
    pub fn new(at: Timestamp, change: Change) -> Self {
        let (request, actor) = (String::new(), Actor::System);
        Self { at, level: LOG_LEVEL, request, actor, change: change.settled() }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The first entry of a cluster's life.
    FoundCluster {
        name: String,
        ca_pem: String,
    },
    AddJoinToken {
        hash: Digest,
        role: Role,
        ttl_seconds: u64,
        uses: u32,
    },
    /// `token` is absent only for the founder.
    AdmitNode {
        node: NodeId,
        name: String,
        role: Role,
        token: Option<Digest>,
        endpoint: Option<CoordinatorEndpoint>,
    },
    /// What a worker said when it registered.
    RecordRegistration {
        node: NodeId,
        profile: Box<NodeProfile>,
        data_addresses: Vec<String>,
        held_manifests: Vec<Digest>,
    },
    /// Keys, certificates, the CA, join tokens that are taken back.
    Identity(IdentityChange),
    Snapshot(SnapshotChange),
    Settings(SettingsChange),
    /// The last change of a cluster; its name is said again, so that no other one is meant.
    DestroyCluster {
        cluster: String,
    },
    RecordLink {
        from: NodeId,
        to: NodeId,
        link: LinkProfile,
    },
    /// A coordinator's addresses, when they changed.
    RecordEndpoint {
        node: NodeId,
        endpoint: CoordinatorEndpoint,
    },
    RemoveNode {
        node: NodeId,
        operation: String,
    },
    /// Cordons, drains, labels.
    Node(NodeChange),
    AddModel {
        name: String,
        manifest: Digest,
        summary: Box<ImportSummary>,
        holder: NodeId,
    },
    Deploy {
        model: String,
        options: DeployOptions,
        operation: String,
    },
    Undeploy {
        model: String,
        operation: String,
    },
    /// Gives the replica a new epoch, this entry's own index, if `expected` is still its epoch.
    PlacePlan {
        replica: ReplicaId,
        expected: Option<Epoch>,
        plan: Box<Plan>,
    },
    /// Refused when `epoch` is no longer the replica's.
    SetRollout {
        replica: ReplicaId,
        epoch: Option<Epoch>,
        state: DeploymentState,
        reason: String,
        missing_bytes: u64,
    },
    Key(KeyChange),
    /// As founders make their first key.
    AddKey {
        name: String,
        role: KeyRole,
        hash: Digest,
        prefix: String,
    },
    Voters(VoterChange),
    StartOperation {
        id: String,
        kind: OperationKind,
        subject: String,
        note: String,
    },
    /// What people and deadlines do to operations.
    Operation(OperationChange),
    UpdateOperation {
        id: String,
        state: OperationState,
        note: String,
        done: u64,
        total: u64,
        result: BTreeMap<String, String>,
    },
    /// Of a level that this version does not know: never applied.
    #[serde(skip)]
    Unread(Box<Map<String, Value>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    Import,
    Deploy,
    Undeploy,
    NodeRm,
    NodeDrain,
}

impl OperationKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Deploy => "deploy",
            Self::Undeploy => "undeploy",
            Self::NodeRm => "node-rm",
            Self::NodeDrain => "node-drain",
        }
    }
}

impl Change {
    /// For logs: the kind of change, never its content.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FoundCluster { .. } => "found-cluster",
            Self::AddJoinToken { .. } => "add-join-token",
            Self::AdmitNode { .. } => "admit-node",
            Self::RecordRegistration { .. } => "record-registration",
            Self::Identity(change) => change.name(),
            Self::Snapshot(change) => change.name(),
            Self::Settings(change) => change.name(),
            Self::DestroyCluster { .. } => "destroy-cluster",
            Self::RecordLink { .. } => "record-link",
            Self::RecordEndpoint { .. } => "record-endpoint",
            Self::RemoveNode { .. } => "remove-node",
            Self::Node(change) => change.name(),
            Self::AddModel { .. } => "add-model",
            Self::Deploy { .. } => "deploy",
            Self::Undeploy { .. } => "undeploy",
            Self::PlacePlan { .. } => "place-plan",
            Self::SetRollout { .. } => "set-rollout",
            Self::Key(change) => change.name(),
            Self::AddKey { .. } => "add-key",
            Self::Voters(change) => change.name(),
            Self::Operation(change) => change.name(),
            Self::StartOperation { .. } => "start-operation",
            Self::UpdateOperation { .. } => "update-operation",
            Self::Unread(_) => "unread",
        }
    }

    /// Measured numbers without the digits that a way through JSON may change: who applies the
    /// change as it was proposed and who reads it from the log must compute the same state.
    fn settled(mut self) -> Self {
        match &mut self {
            Self::RecordRegistration { profile, .. } => profile.settle(),
            Self::RecordLink { link, .. } => link.settle(),
            _ => {}
        }
        self
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.change.name(), self.at)
    }
}
