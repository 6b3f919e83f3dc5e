//! Ends operations that show no progress any more: their worker or coordinator went away.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::admin::OperationState;
use protocol::shard::{ShardState, ShardStatus};

use super::config::ReconcilerConfig;
use crate::state::{Change, Operation, OperationKind, State, Timestamp};

#[derive(Clone, Debug, Default)]
pub(super) struct OperationWatch {
    seen: BTreeMap<String, Progress>,
}

#[derive(Clone, Debug)]
struct Progress {
    updated_at: Timestamp,
    /// Bytes that all shards together fetched and loaded.
    bytes: u64,
    moved: Duration,
}

impl OperationWatch {
    /// The changes that end the operations which stalled.
    pub(super) fn stalled<'a>(
        &mut self,
        state: &State,
        shards: impl Iterator<Item = &'a ShardStatus>,
        now: Duration,
        config: &ReconcilerConfig,
    ) -> Vec<Change> {
        let running: Vec<_> =
            state.operations.iter().filter(|(_, o)| o.state == OperationState::Running).collect();
        if running.is_empty() {
            self.seen.clear();
            return Vec::new();
        }
        let bytes = shards.map(moved_bytes).fold(0, u64::wrapping_add);
        self.seen.retain(|id, _| running.iter().any(|(known, _)| *known == id));
        let mut changes = Vec::new();
        for (id, operation) in running {
            let fresh = Progress { updated_at: operation.updated_at, bytes, moved: now };
            let seen = self.seen.entry(id.clone()).or_insert_with(|| fresh.clone());
            let loads = operation.kind == OperationKind::Deploy && seen.bytes != bytes;
            if seen.updated_at != operation.updated_at || loads {
                *seen = fresh;
            } else if now >= seen.moved + config.operation_stall {
                seen.moved = now;
                changes.push(give_up(id, operation, config));
            }
        }
        changes
    }
}

fn give_up(id: &str, operation: &Operation, config: &ReconcilerConfig) -> Change {
    let wait = config.operation_stall.as_secs();
    Change::UpdateOperation {
        id: id.to_owned(),
        state: OperationState::Failed,
        note: format!("no progress for {wait} s; last: {}", operation.note),
        done: operation.done,
        total: operation.total,
        result: operation.result.clone(),
    }
}

fn moved_bytes(shard: &ShardStatus) -> u64 {
    match shard.state {
        ShardState::Fetching { done_bytes, .. } => done_bytes,
        ShardState::Loading { done_bytes, .. } => done_bytes.wrapping_add(1),
        ShardState::Connecting => 1,
        ShardState::Ready => 2,
        ShardState::Failed { .. } => 0,
    }
}
