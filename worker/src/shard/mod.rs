//! The life of a worker's shards, pure: desired sets and outcomes in, work for the driver out.
//!
//! A shard goes Fetching -> Loading -> Connecting -> Ready, or ends in Failed; it stays there until
//! the coordinator sends a newer epoch or leaves it out. Every state has a deadline.

mod action;
mod event;
mod placement;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::ids::{NodeId, ReplicaId};
use protocol::shard::{DesiredShard, DesiredShards, ShardFailure, ShardState, ShardStatus};

pub use action::ShardAction;
pub use event::{ShardEvent, ShardKey};
pub use placement::{LocalRank, local_ranks, neighbours, node_of, same_stages};

/// Longest that a shard may stay in a state.
#[derive(Clone, Copy, Debug)]
pub struct ShardTimeouts {
    /// Without a byte of progress, while fetching or loading.
    pub progress: Duration,
    /// Without a word from a neighbour, while connecting.
    pub peer: Duration,
    /// Connecting as a whole: the slowest rank may still be loading.
    pub connect: Duration,
}

impl Default for ShardTimeouts {
    fn default() -> Self {
        Self {
            progress: Duration::from_secs(120),
            peer: Duration::from_secs(10),
            connect: Duration::from_secs(1800),
        }
    }
}

/// All shards of one worker.
#[derive(Debug)]
pub struct ShardLifecycle {
    node: NodeId,
    timeouts: ShardTimeouts,
    /// Log index of the last desired set taken.
    index: u64,
    shards: BTreeMap<ReplicaId, Shard>,
}

#[derive(Debug)]
struct Shard {
    desired: Arc<DesiredShard>,
    phase: Phase,
    /// The stages of `desired` are in memory.
    loaded: bool,
}

#[derive(Debug)]
enum Phase {
    Fetching { done_bytes: u64, total_bytes: u64, heard: Duration },
    Loading { done_bytes: u64, total_bytes: u64, heard: Duration },
    Connecting { since: Duration, heard: BTreeMap<NodeId, Duration> },
    Ready,
    Failed { kind: ShardFailure, reason: String },
}

impl ShardLifecycle {
    pub fn new(node: NodeId, timeouts: ShardTimeouts) -> Self {
        Self { node, timeouts, index: 0, shards: BTreeMap::new() }
    }

    /// `now` is any clock that does not run backwards.
    pub fn step(&mut self, event: ShardEvent, now: Duration) -> Vec<ShardAction> {
        match event {
            ShardEvent::Desired(set) => self.desired(set, now),
            ShardEvent::FetchProgress { key, done_bytes, total_bytes } => {
                if let Some(Phase::Fetching { .. }) = self.current(key).map(|s| &s.phase) {
                    let phase = Phase::Fetching { done_bytes, total_bytes, heard: now };
                    self.enter(key.replica, phase);
                }
                Vec::new()
            }
            ShardEvent::LoadProgress { key, done_bytes, total_bytes } => {
                if let Some(Phase::Loading { .. }) = self.current(key).map(|s| &s.phase) {
                    let phase = Phase::Loading { done_bytes, total_bytes, heard: now };
                    self.enter(key.replica, phase);
                }
                Vec::new()
            }
            ShardEvent::Fetched { key } => self.fetched(key, now),
            ShardEvent::Loaded { key } => self.loaded(key, now),
            ShardEvent::PeerHeard { key, peer } => {
                if let Some(Phase::Connecting { heard, .. }) =
                    self.current(key).map(|s| &mut s.phase)
                {
                    heard.entry(peer).and_modify(|at| *at = now);
                }
                Vec::new()
            }
            ShardEvent::Connected { key } => self.connected(key),
            ShardEvent::Failed { key, kind, reason } => self.failed(key, kind, reason),
            ShardEvent::Tick => self.tick(now),
        }
    }

    /// What heartbeats say of every shard.
    pub fn statuses(&self) -> Vec<ShardStatus> {
        self.shards.values().map(Shard::status).collect()
    }

    /// The shard of `replica`, whatever its state.
    pub fn shard(&self, replica: ReplicaId) -> Option<&Arc<DesiredShard>> {
        self.shards.get(&replica).map(|s| &s.desired)
    }

    fn desired(&mut self, set: DesiredShards, now: Duration) -> Vec<ShardAction> {
        if set.index < self.index {
            return Vec::new();
        }
        self.index = set.index;
        let mine: BTreeMap<ReplicaId, DesiredShard> = set
            .shards
            .into_iter()
            .filter(|shard| shard.plan.nodes().contains(&self.node))
            .map(|shard| (shard.replica, shard))
            .collect();
        let mut actions = Vec::new();
        let gone: Vec<_> =
            self.shards.keys().filter(|replica| !mine.contains_key(replica)).copied().collect();
        for replica in gone {
            self.shards.remove(&replica);
            actions.push(ShardAction::Drop { replica });
        }
        for shard in mine.into_values() {
            actions.extend(self.want(Arc::new(shard), now));
        }
        if !actions.is_empty() {
            actions.push(ShardAction::Report);
        }
        actions
    }

    /// One member of a desired set: start it, replace an older epoch, or leave things as they are.
    fn want(&mut self, desired: Arc<DesiredShard>, now: Duration) -> Vec<ShardAction> {
        let replica = desired.replica;
        let mut actions = Vec::new();
        if let Some(held) = self.shards.get(&replica) {
            if desired.epoch <= held.desired.epoch {
                return actions;
            }
            let from = held.desired.epoch;
            if held.loaded && same_stages(&held.desired.plan, &desired.plan, self.node) {
                let phase = Phase::Loading { done_bytes: 0, total_bytes: 0, heard: now };
                let shard = Arc::clone(&desired);
                self.shards.insert(replica, Shard { desired, phase, loaded: true });
                return vec![ShardAction::Reuse { shard, from }];
            }
            actions.push(ShardAction::Drop { replica });
        }
        let phase = Phase::Fetching { done_bytes: 0, total_bytes: 0, heard: now };
        actions.push(ShardAction::Fetch { shard: Arc::clone(&desired) });
        self.shards.insert(replica, Shard { desired, phase, loaded: false });
        actions
    }

    fn fetched(&mut self, key: ShardKey, now: Duration) -> Vec<ShardAction> {
        let Some(shard) = self.current(key) else { return Vec::new() };
        if !matches!(shard.phase, Phase::Fetching { .. }) {
            return Vec::new();
        }
        shard.phase = Phase::Loading { done_bytes: 0, total_bytes: 0, heard: now };
        vec![ShardAction::Load { shard: Arc::clone(&shard.desired) }, ShardAction::Report]
    }

    fn loaded(&mut self, key: ShardKey, now: Duration) -> Vec<ShardAction> {
        let node = self.node;
        let Some(shard) = self.current(key) else { return Vec::new() };
        if !matches!(shard.phase, Phase::Loading { .. }) {
            return Vec::new();
        }
        let peers = neighbours(&shard.desired.plan, node);
        shard.loaded = true;
        shard.phase =
            Phase::Connecting { since: now, heard: peers.into_iter().map(|p| (p, now)).collect() };
        vec![ShardAction::Connect { shard: Arc::clone(&shard.desired) }, ShardAction::Report]
    }

    fn connected(&mut self, key: ShardKey) -> Vec<ShardAction> {
        let Some(shard) = self.current(key) else { return Vec::new() };
        if !matches!(shard.phase, Phase::Connecting { .. }) {
            return Vec::new();
        }
        shard.phase = Phase::Ready;
        vec![ShardAction::Report]
    }

    fn failed(&mut self, key: ShardKey, kind: ShardFailure, reason: String) -> Vec<ShardAction> {
        let Some(shard) = self.current(key) else { return Vec::new() };
        if matches!(shard.phase, Phase::Failed { .. }) {
            return Vec::new();
        }
        // A failed take-over leaves nothing to keep; a broken pipeline leaves whole stages.
        let connected = matches!(shard.phase, Phase::Connecting { .. } | Phase::Ready);
        shard.loaded &= connected;
        shard.phase = Phase::Failed { kind, reason };
        let stop = if shard.loaded {
            ShardAction::Disconnect { key }
        } else {
            ShardAction::Drop { replica: key.replica }
        };
        vec![stop, ShardAction::Report]
    }

    fn tick(&mut self, now: Duration) -> Vec<ShardAction> {
        let timeouts = self.timeouts;
        let late: Vec<_> = self
            .shards
            .values()
            .filter_map(|shard| {
                let (kind, reason) = shard.late(&timeouts, now)?;
                Some((ShardKey::of(&shard.desired), kind, reason))
            })
            .collect();
        late.into_iter().flat_map(|(key, kind, reason)| self.failed(key, kind, reason)).collect()
    }

    /// The shard that `key` means, unless its epoch has moved on.
    fn current(&mut self, key: ShardKey) -> Option<&mut Shard> {
        self.shards.get_mut(&key.replica).filter(|s| s.desired.epoch == key.epoch)
    }

    fn enter(&mut self, replica: ReplicaId, phase: Phase) {
        if let Some(shard) = self.shards.get_mut(&replica) {
            shard.phase = phase;
        }
    }
}

impl Shard {
    fn status(&self) -> ShardStatus {
        let state = match &self.phase {
            Phase::Fetching { done_bytes, total_bytes, .. } => {
                ShardState::Fetching { done_bytes: *done_bytes, total_bytes: *total_bytes }
            }
            Phase::Loading { done_bytes, total_bytes, .. } => {
                ShardState::Loading { done_bytes: *done_bytes, total_bytes: *total_bytes }
            }
            Phase::Connecting { .. } => ShardState::Connecting,
            Phase::Ready => ShardState::Ready,
            Phase::Failed { kind, reason } => {
                ShardState::Failed { kind: *kind, reason: reason.clone() }
            }
        };
        ShardStatus { replica: self.desired.replica, epoch: self.desired.epoch, state }
    }

    /// Whether the state's deadline has passed, and what to say then.
    fn late(&self, timeouts: &ShardTimeouts, now: Duration) -> Option<(ShardFailure, String)> {
        let silent = |since: Duration| now.saturating_sub(since);
        match &self.phase {
            Phase::Fetching { heard, .. } if silent(*heard) > timeouts.progress => {
                let seconds = timeouts.progress.as_secs();
                let reason = format!("no weight byte arrived from any holder for {seconds} s");
                Some((ShardFailure::WeightsMissing, reason))
            }
            Phase::Loading { heard, .. } if silent(*heard) > timeouts.progress => {
                let seconds = timeouts.progress.as_secs();
                let reason = format!("loading the stage made no progress for {seconds} s");
                Some((ShardFailure::Internal, reason))
            }
            Phase::Connecting { since, heard } => {
                let lost = heard.iter().find(|(_, at)| silent(**at) > timeouts.peer);
                if let Some((peer, at)) = lost {
                    let seconds = silent(*at).as_secs();
                    let reason = format!("node {} did not answer for {seconds} s", peer.short());
                    return Some((ShardFailure::PeerUnreachable { peer: *peer }, reason));
                }
                let seconds = timeouts.connect.as_secs();
                (silent(*since) > timeouts.connect).then(|| {
                    let reason = format!("the pipeline did not close within {seconds} s");
                    (ShardFailure::PipelineLost, reason)
                })
            }
            _ => None,
        }
    }
}
