//! What the invariants of the control plane get to see.

use std::sync::Arc;
use std::time::Duration;

use coordinator::state::{Change, Outcome, State};
use protocol::ids::NodeId;
use worker::shard::ShardKey;

pub enum Observation<'a> {
    /// A coordinator published a state: after entries, a snapshot or a restart.
    Applied { coordinator: usize, state: &'a Arc<State> },
    /// A coordinator leads, and holds what earlier leaders committed.
    Led { coordinator: usize, state: &'a Arc<State> },
    /// A coordinator told a candidate that it has its vote.
    Granted { coordinator: usize, term: u64, candidate: NodeId },
    /// A client was told how its change ended.
    Acknowledged { request: &'a str, change: &'a Change, outcome: &'a Outcome },
    /// A coordinator wrote a snapshot, or took one over.
    Snapshot { coordinator: usize, bytes: &'a [u8] },
    /// A worker holds an epoch from now on.
    Held { worker: usize, life: u64, key: ShardKey },
    /// Long after the last fault.
    End { now: Duration, waiting: &'a [String], states: &'a [(usize, Arc<State>)] },
}

/// What a simulation went through; shows that it was not an idle one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Of the whole history.
    pub hash: u64,
    pub leaders: u64,
    pub acknowledged: u64,
    pub retried: u64,
    pub restarts: u64,
    pub snapshots: u64,
    pub installed: u64,
    pub epochs: u64,
    pub membership_changes: u64,
    /// From a request to its answer, the longest.
    pub slowest: Duration,
    pub lines: Vec<String>,
}

impl Summary {
    pub fn add(&mut self, other: &Self) {
        self.leaders += other.leaders;
        self.acknowledged += other.acknowledged;
        self.retried += other.retried;
        self.restarts += other.restarts;
        self.snapshots += other.snapshots;
        self.installed += other.installed;
        self.epochs += other.epochs;
        self.membership_changes += other.membership_changes;
        self.slowest = self.slowest.max(other.slowest);
    }
}
