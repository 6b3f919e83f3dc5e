//! Ends operations that show no progress any more (their worker or coordinator went away), or that
//! took longer than they may.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::admin::OperationState;
use protocol::shard::{ShardState, ShardStatus};

use super::config::ReconcilerConfig;
use crate::state::{
    Change, DrainFailure, Duty, NodeChange, Operation, OperationKind, State, Timestamp,
};

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
    /// When its time is over, on this process's clock.
    ends: Duration,
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
            let fresh = Progress {
                updated_at: operation.updated_at,
                bytes,
                moved: now,
                ends: now + time_left(state, operation),
            };
            let seen = self.seen.entry(id.clone()).or_insert_with(|| fresh.clone());
            let moves = matches!(operation.kind, OperationKind::Deploy | OperationKind::NodeDrain);
            if seen.updated_at != operation.updated_at || (moves && seen.bytes != bytes) {
                *seen = Progress { ends: seen.ends, ..fresh };
            }
            let reason = if now >= seen.ends {
                format!("not done within {} s; last: {}", operation.limit_seconds, operation.note)
            } else if now >= seen.moved + config.operation_stall {
                let wait = config.operation_stall.as_secs();
                format!("no progress for {wait} s; last: {}", operation.note)
            } else {
                continue;
            };
            seen.moved = now;
            seen.ends = seen.ends.max(now + config.proposal);
            changes.push(give_up(state, id, operation, reason));
        }
        changes
    }
}

/// Of its limit, as far as the log's clock has come: a new leader does not begin anew.
fn time_left(state: &State, operation: &Operation) -> Duration {
    let passed = state.clock.0.saturating_sub(operation.started_at.0);
    Duration::from_secs(operation.limit_seconds).saturating_sub(Duration::from_millis(passed))
}

fn give_up(state: &State, id: &str, operation: &Operation, reason: String) -> Change {
    let drains = |duty: &Duty| matches!(duty, Duty::Draining { operation, .. } if operation == id);
    if let Some((node, _)) = state.members.iter().find(|(_, member)| drains(&member.duty)) {
        let failed = Some(DrainFailure { code: "timed_out".to_owned(), reason });
        let (node, operation) = (*node, id.to_owned());
        return Change::Node(NodeChange::EndDrain { node, operation, failed });
    }
    Change::UpdateOperation {
        id: id.to_owned(),
        state: OperationState::Failed,
        note: reason,
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
