//! What the shard lifecycle asks its driver to do.

use std::sync::Arc;

use protocol::ids::{Epoch, ReplicaId};
use protocol::shard::DesiredShard;

use super::event::ShardKey;

#[derive(Clone, Debug, PartialEq)]
pub enum ShardAction {
    /// Bring the chunks of the shard's layers into the weight store; ends in `Fetched` or `Failed`.
    Fetch { shard: Arc<DesiredShard> },
    /// Book the memory and read the stages; ends in `Loaded` or `Failed`.
    Load { shard: Arc<DesiredShard> },
    /// Hand the loaded stages of epoch `from` over to `shard`; ends in `Loaded` or `Failed`.
    Reuse { shard: Arc<DesiredShard>, from: Epoch },
    /// Open the edges and start the stage threads; ends in `Connected` or `Failed`.
    Connect { shard: Arc<DesiredShard> },
    /// Stop the pipeline of the shard but keep its stages in memory.
    Disconnect { key: ShardKey },
    /// Stop whatever runs for the replica and free its memory.
    Drop { replica: ReplicaId },
    /// A state changed: tell the coordinators now, not at the next heartbeat.
    Report,
}
