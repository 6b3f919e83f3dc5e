//! What can happen to a worker's shards.

use std::fmt;

use protocol::ids::{Epoch, NodeId, ReplicaId};
use protocol::shard::{DesiredShard, DesiredShards, ShardFailure};

/// One epoch of one replica: everything a shard does or says belongs to exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardKey {
    pub replica: ReplicaId,
    pub epoch: Epoch,
}

impl ShardKey {
    pub fn of(shard: &DesiredShard) -> Self {
        Self { replica: shard.replica, epoch: shard.epoch }
    }
}

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replica {} epoch {}", self.replica, self.epoch)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum ShardEvent {
    /// The full set this worker shall hold, from the leader.
    Desired(DesiredShards),
    FetchProgress {
        key: ShardKey,
        done_bytes: u64,
        total_bytes: u64,
    },
    /// Every chunk of the shard's layers is in the weight store.
    Fetched {
        key: ShardKey,
    },
    LoadProgress {
        key: ShardKey,
        done_bytes: u64,
        total_bytes: u64,
    },
    /// The stages of the shard are in memory, freshly read or taken over from an older epoch.
    Loaded {
        key: ShardKey,
    },
    /// A neighbour of the plan is there, though it may not have reached the epoch yet.
    PeerHeard {
        key: ShardKey,
        peer: NodeId,
    },
    /// All edges of this worker's ranks are open.
    Connected {
        key: ShardKey,
    },
    /// A fetch, a load or the running pipeline gave up.
    Failed {
        key: ShardKey,
        kind: ShardFailure,
        reason: String,
    },
    /// Time passed.
    Tick,
}
