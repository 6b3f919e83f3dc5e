//! Messages of the control stream between a worker and a coordinator, and of joining. They travel
//! as JSON inside gRPC envelopes: small, rare, and readable by a neighbouring version.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::identity::{CaFingerprint, CertificateFacts, SealingPublic};
use crate::ids::{Digest, NodeId};
use crate::node_profile::{LinkProfile, NodeProfile};
use crate::questions::{Answer, Question};
use crate::shard::{DesiredShards, ReplicaLoad, ShardStatus};

/// Worker to coordinator. The first message of a stream is `Register`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WorkerMessage {
    Register(Box<Registration>),
    Heartbeat(Heartbeat),
    /// Progress and end of a command, by its operation id.
    Progress {
        operation: String,
        progress: CommandProgress,
    },
    Link {
        peer: NodeId,
        link: LinkProfile,
    },
    /// Over the stream that the question came on.
    Answer {
        id: u64,
        answer: Answer,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    pub name: String,
    pub profile: NodeProfile,
    /// `host:port` for QUIC, best first.
    pub data_addresses: Vec<String>,
    /// Models whose weight files are complete here.
    pub held_manifests: Vec<Digest>,
    pub shards: Vec<ShardStatus>,
    /// Drawn at each start of the process: two of one identity at a time are told apart by it.
    #[serde(default)]
    pub instance: String,
    #[serde(default)]
    pub certificate: Option<CertificateFacts>,
    /// It answers `Ask`, and passes over messages that it does not know.
    #[serde(default)]
    pub answers: bool,
}

/// Sent at the interval that `Welcome` names, and at once when a shard changes state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub sequence: u64,
    pub shards: Vec<ShardStatus>,
    pub loads: Vec<ReplicaLoad>,
    pub memory_used_bytes: u64,
    /// Peers of which this worker's data plane saw progress since the last heartbeat.
    #[serde(default)]
    pub peers_alive: Vec<NodeId>,
    /// Of the certificate in use, when it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFacts>,
    /// It was told to stop, and goes once nothing of value is left on it.
    #[serde(default)]
    pub leaving: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CommandProgress {
    Running {
        done: u64,
        total: u64,
        note: String,
    },
    /// An import is complete: the manifest's digest and, as a summary for the log, its spec.
    Imported {
        manifest: Digest,
        summary: Box<ImportSummary>,
    },
    Done,
    Failed {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportSummary {
    pub spec: crate::model_spec::ModelSpec,
    /// Blob with tokenizer, special tokens and chat template.
    pub text: Digest,
    pub weight_bytes: u64,
}

/// Coordinator to worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CoordinatorMessage {
    Welcome {
        cluster: String,
        heartbeat_interval_ms: u64,
        failure_timeout_ms: u64,
    },
    /// All coordinators, to be dialled and kept on disk.
    Coordinators {
        coordinators: Vec<CoordinatorAddress>,
        /// Log index up to which the sender knew: one that is catching up sends old lists.
        applied: u64,
    },
    /// From the leader only.
    Desired(DesiredShards),
    /// Read the model at a path of the worker's own machine, build its manifest, keep it.
    Import {
        operation: String,
        path: String,
    },
    /// Drop what is kept of these models.
    Forget {
        manifests: Vec<Digest>,
    },
    /// Measure the link to each of these nodes and report `Link`.
    ProbeLinks {
        peers: Vec<PeerAddress>,
    },
    /// To a worker that is leaving: nothing more will be moved off it, so it need not wait.
    Release {
        reason: String,
    },
    /// The node was removed from the cluster: stop, and do not come back.
    Removed,
    /// Another process with this node's identity is attached from there: stop.
    Duplicate {
        address: String,
    },
    /// Only to workers that register with an `instance`: others do not know it.
    Trust(Trust),
    /// Only to workers that say they answer. The number is the sender's own.
    Ask {
        id: u64,
        question: Question,
    },
}

/// Whom to let in from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// The CAs that the cluster trusts, the one that signs now first.
    pub ca_pem: String,
    /// Nodes that were removed.
    pub revoked: BTreeSet<NodeId>,
    /// Log index up to which the sender knew.
    pub applied: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAddress {
    pub node: NodeId,
    pub addresses: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct CoordinatorAddress {
    pub node: NodeId,
    /// `host:port` of node traffic: gRPC on TCP, QUIC on UDP.
    pub address: String,
    /// `host:port` of the API.
    pub api_address: String,
}

/// Asks to become a member; the only call allowed without a client certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Secret part of the join token.
    pub secret: String,
    pub name: String,
    pub role: Role,
    /// Certificate signing request, PEM; its key is the node's identity.
    pub csr_pem: String,
    /// Coordinators only: where the others reach it.
    pub coordinator: Option<CoordinatorEndpoint>,
}

/// Highest level of the replicated log's format that a coordinator of this version speaks.
pub const LOG_LEVEL: u32 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorEndpoint {
    pub address: String,
    pub api_address: String,
    /// Highest level of the log's format that it speaks; the first when it does not say.
    #[serde(default = "first_level")]
    pub level: u32,
    /// Of its `trireme`; empty of one from before it said so.
    #[serde(default)]
    pub version: String,
}

impl CoordinatorEndpoint {
    /// Of a coordinator of this version.
    pub fn new(address: impl Into<String>, api_address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            api_address: api_address.into(),
            level: LOG_LEVEL,
            version: crate::VERSION.to_owned(),
        }
    }
}

fn first_level() -> u32 {
    1
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinResponse {
    pub cluster: String,
    pub node: NodeId,
    pub certificate_pem: String,
    /// The CAs that the cluster trusts, the one that signs now first.
    pub ca_pem: String,
    /// Coordinators only: every voter can sign.
    pub ca_key_pem: Option<String>,
    /// Coordinators only: the CA on disk is sealed for it too.
    #[serde(default)]
    pub recovery: Option<SealingPublic>,
    pub coordinators: Vec<CoordinatorAddress>,
}

/// A member's request for another certificate of the same key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    pub csr_pem: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewResponse {
    pub certificate_pem: String,
    /// As in `Trust`.
    pub ca_pem: String,
}

/// Gives another coordinator a CA that will sign, or asks it for one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareCa {
    pub ca: CaFingerprint,
    /// Absent to ask.
    pub given: Option<SharedCa>,
}

/// The answer: what was asked for, if it is held.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaShared {
    pub held: Option<SharedCa>,
}

/// A CA with its key, PEM; between coordinators only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedCa {
    pub certificate_pem: String,
    pub key_pem: String,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Worker,
    Coordinator,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Coordinator => "coordinator",
        }
    }
}
