//! One replica on its way: when it is ready, when its plan must be replaced, and how patiently.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::admin::DeploymentState;
use protocol::ids::{Epoch, NodeId};
use protocol::shard::ShardFailure;

use super::config::{ReconcilerConfig, backoff};
use crate::state::Deployment;

/// Soft memory of a replica; a new leader starts with an empty one.
#[derive(Clone, Debug, Default)]
pub(super) struct RolloutTrack {
    epoch: Option<Epoch>,
    seen: Option<(Option<Epoch>, DeploymentState, String)>,
    /// Why the present epoch must be replaced.
    pub(super) broken: Option<Broken>,
    failures: u32,
    retry_at: Duration,
    ready_since: Option<Duration>,
    proposed_until: Duration,
    excluded: BTreeMap<NodeId, Duration>,
    links_down: BTreeMap<(NodeId, NodeId), Duration>,
    /// What the last attempt that found no plan was made with.
    pub(super) hopeless: Option<Attempt>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Broken {
    pub(super) at: Duration,
    pub(super) reason: String,
    /// A node of the plan was lost: no need to hear from every node before planning again.
    pub(super) node_lost: bool,
}

/// Everything that a plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) nodes: Vec<(NodeId, u64)>,
    pub(super) links_down: Vec<(NodeId, NodeId)>,
}

impl RolloutTrack {
    /// Takes note of a new epoch or state, which also answers the proposal under way.
    pub(super) fn observe(&mut self, deployment: &Deployment) {
        let epoch = deployment.epoch();
        let rollout = &deployment.rollout;
        let seen = Some((epoch, rollout.state, rollout.reason.clone()));
        if self.seen != seen {
            self.seen = seen;
            self.proposed_until = Duration::ZERO;
        }
        if self.epoch != epoch {
            self.epoch = epoch;
            self.broken = None;
            self.hopeless = None;
            self.ready_since = None;
        }
    }

    pub(super) fn node_lost(&mut self, reason: String, now: Duration) {
        let broken = Broken { at: now, reason, node_lost: true };
        if !self.broken.as_ref().is_some_and(|b| b.node_lost) {
            self.broken = Some(broken);
        }
    }

    pub(super) fn pipeline_lost(
        &mut self,
        reason: String,
        now: Duration,
        config: &ReconcilerConfig,
    ) {
        if self.broken.is_some() {
            return;
        }
        // An epoch that served for a while was not a failed attempt.
        let served = self.ready_since.is_some_and(|at| now - at > config.retry_max);
        self.failures = if served { 1 } else { self.failures + 1 };
        let wait = backoff(config.retry_first, self.failures - 1, config.retry_max);
        self.retry_at = now + wait;
        self.broken = Some(Broken { at: now, reason, node_lost: false });
    }

    pub(super) fn shard_failed(
        &mut self,
        node: NodeId,
        kind: ShardFailure,
        reason: &str,
        now: Duration,
        config: &ReconcilerConfig,
    ) {
        match kind {
            ShardFailure::OutOfMemory => {
                self.excluded.insert(node, now + config.exclusion);
            }
            ShardFailure::PeerUnreachable { peer } => {
                self.links_down.insert((node, peer), now + config.link_probe);
            }
            _ => {}
        }
        self.pipeline_lost(reason.to_owned(), now, config);
    }

    pub(super) fn link_measured(&mut self, from: NodeId, to: NodeId) {
        self.links_down.remove(&(from, to));
    }

    pub(super) fn ready(&mut self, now: Duration) {
        self.ready_since.get_or_insert(now);
    }

    pub(super) fn served_long(&mut self, now: Duration, config: &ReconcilerConfig) {
        if self.ready_since.is_some_and(|at| now.saturating_sub(at) > config.retry_max) {
            self.failures = 0;
        }
    }

    pub(super) fn gave_up(&self, config: &ReconcilerConfig) -> bool {
        self.failures >= config.failures_max
    }

    pub(super) fn may_retry(&self, now: Duration) -> bool {
        now >= self.retry_at
    }

    pub(super) fn is_excluded(&self, node: NodeId, now: Duration) -> bool {
        self.excluded.get(&node).is_some_and(|until| now < *until)
    }

    pub(super) fn links_down(&self, now: Duration) -> Vec<(NodeId, NodeId)> {
        let down = self.links_down.iter().filter(|(_, until)| now < **until);
        down.map(|(link, _)| *link).collect()
    }

    pub(super) fn proposed(&mut self, until: Duration) {
        self.proposed_until = until;
    }

    pub(super) fn waits_for_proposal(&self, now: Duration) -> bool {
        now < self.proposed_until
    }
}
