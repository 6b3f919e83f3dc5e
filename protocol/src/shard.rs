//! What the coordinator wants a worker to hold, and what the worker says of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{Epoch, NodeId, ReplicaId};
use crate::plan::Plan;

/// The full set that one worker shall hold; what is not in it goes away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DesiredShards {
    /// Log index the set was derived from; an older set than the last one seen is ignored.
    pub index: u64,
    pub shards: Vec<DesiredShard>,
    /// Where each node named by a plan or as a holder listens for QUIC, best address first.
    pub addresses: BTreeMap<NodeId, Vec<String>>,
}

/// One replica of which this worker holds at least one rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DesiredShard {
    pub replica: ReplicaId,
    pub epoch: Epoch,
    pub plan: Plan,
    /// Nodes that hold the whole model, to fetch from.
    pub holders: Vec<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardStatus {
    pub replica: ReplicaId,
    pub epoch: Epoch,
    pub state: ShardState,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ShardState {
    Fetching {
        done_bytes: u64,
        total_bytes: u64,
    },
    Loading {
        done_bytes: u64,
        total_bytes: u64,
    },
    /// Weights are in memory; edges to the neighbours are being opened.
    Connecting,
    /// The epoch is acknowledged: rows of it may be sent here.
    Ready,
    Failed {
        kind: ShardFailure,
        reason: String,
    },
}

/// Why a shard cannot be held; decides whether another plan may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShardFailure {
    OutOfMemory,
    WeightsMissing,
    WeightsCorrupt,
    /// A neighbour of the plan could not be reached: plan without that edge.
    PeerUnreachable {
        peer: NodeId,
    },
    /// The pipeline broke at run time: a peer went away or broke the protocol.
    PipelineLost,
    Internal,
}

/// Load of one replica as its head sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaLoad {
    pub replica: ReplicaId,
    pub epoch: Epoch,
    pub running: u32,
    pub waiting: u32,
    pub blocks_free: u32,
    pub blocks_total: u32,
}
