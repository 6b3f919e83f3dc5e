//! Keeps the Raft group as the members say: a coordinator that joined becomes a learner, then a
//! voter; the number of voters stays odd, as a second voter only adds a way to lose the quorum.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{ChangeMembers, Instant as _, RaftMetrics};
use protocol::control::Role;
use protocol::ids::NodeId;

use super::node::Consensus;
use super::type_config::{TypeConfig, Voter, VoterId};
use super::voters::{self, Candidate};
use crate::error::CoordinatorError;

/// A learner this close to the leader's log may vote.
const CAUGHT_UP_ENTRIES: u64 = 64;
/// A voter that does not answer this long gives its vote to one that does.
const SILENT: Duration = Duration::from_secs(30);

impl Consensus {
    /// One step towards the wanted group; the leader calls it now and then.
    pub(crate) async fn tend_membership(&self) -> Result<(), CoordinatorError> {
        let wanted = self.wanted();
        let metrics = self.raft().metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let nodes: BTreeSet<_> = membership.nodes().map(|(id, _)| *id).collect();
        if wanted.is_empty() || !wanted.contains_key(&VoterId(self.own())) {
            return self.step_aside(&wanted).await;
        }
        for (id, voter) in wanted.iter().filter(|(id, _)| !nodes.contains(id)) {
            tracing::info!(coordinator = %id, address = voter.address, "adding a learner");
            self.raft()
                .add_learner(*id, voter.clone(), false)
                .await
                .map_err(CoordinatorError::raft)?;
        }
        let moved: BTreeMap<_, _> = membership
            .nodes()
            .filter_map(|(id, known)| {
                Some((*id, wanted.get(id).filter(|now| *now != known)?.clone()))
            })
            .collect();
        if !moved.is_empty() {
            let change = ChangeMembers::SetNodes(moved);
            self.raft().change_membership(change, true).await.map_err(CoordinatorError::raft)?;
        }
        let next = voters::choose(VoterId(self.own()), &self.candidates(&metrics, &wanted));
        let voters: BTreeSet<_> = membership.voter_ids().collect();
        if next != voters {
            tracing::info!(?next, "changing the voters");
            self.raft().change_membership(next, true).await.map_err(CoordinatorError::raft)?;
        }
        let gone: BTreeSet<_> = nodes.into_iter().filter(|id| !wanted.contains_key(id)).collect();
        if !gone.is_empty() {
            let change = ChangeMembers::RemoveNodes(gone);
            self.raft().change_membership(change, false).await.map_err(CoordinatorError::raft)?;
        }
        Ok(())
    }

    pub(crate) fn address_of(&self, node: NodeId) -> Option<String> {
        let state = self.state();
        let known = state.members.get(&node).and_then(|m| m.endpoint.as_ref());
        known.map(|endpoint| endpoint.address.clone()).or_else(|| {
            let metrics = self.raft().metrics().borrow_watched().clone();
            let membership = metrics.membership_config.membership();
            let found = membership.nodes().find(|(id, _)| id.0 == node);
            found.map(|(_, voter)| voter.address.clone())
        })
    }

    /// A leader that was removed hands the group to the others.
    async fn step_aside(&self, wanted: &BTreeMap<VoterId, Voter>) -> Result<(), CoordinatorError> {
        let metrics = self.raft().metrics().borrow_watched().clone();
        let rest = self.candidates(&metrics, wanted);
        let Some(first) = rest.iter().find(|c| c.votes).or(rest.first()) else { return Ok(()) };
        let next = voters::choose(first.id, &rest);
        self.raft().change_membership(next, false).await.map_err(CoordinatorError::raft)?;
        Ok(())
    }

    /// Log entries that `node` is behind; `None` where this coordinator does not lead.
    pub(crate) fn entries_behind(&self, node: NodeId) -> Option<u64> {
        let metrics = self.raft().metrics().borrow_watched().clone();
        metrics.running_state.as_ref().ok()?;
        let matched = *metrics.replication.as_ref()?.get(&VoterId(node))?;
        let held = matched.map_or(0, |log| log.index + 1);
        Some((metrics.last_log_index? + 1).saturating_sub(held))
    }

    /// The members of the group that shall stay in it.
    fn candidates(
        &self,
        metrics: &RaftMetrics<TypeConfig>,
        wanted: &BTreeMap<VoterId, Voter>,
    ) -> Vec<Candidate> {
        let state = self.state();
        let membership = metrics.membership_config.membership();
        let last = metrics.last_log_index.unwrap_or(0);
        let matched = |id| metrics.replication.as_ref().and_then(|r| r.get(&id).copied().flatten());
        let heard = |id| metrics.heartbeat.as_ref().and_then(|h| h.get(&id)?.as_ref());
        let candidate = |id: VoterId| Candidate {
            id,
            votes: membership.voter_ids().any(|voter| voter == id),
            is_caught_up: matched(id).is_some_and(|log| log.index + CAUGHT_UP_ENTRIES >= last),
            is_silent: heard(id).is_some_and(|at| at.elapsed() > SILENT),
            promoted: state.promoted(id.0),
        };
        let ids = membership.nodes().map(|(id, _)| *id);
        ids.filter(|id| wanted.contains_key(id)).map(candidate).collect()
    }

    fn wanted(&self) -> BTreeMap<VoterId, Voter> {
        let state = self.state();
        let coordinators = state.members.iter().filter(|(_, m)| m.role == Role::Coordinator);
        coordinators
            .filter_map(|(id, member)| {
                let endpoint = member.endpoint.as_ref()?;
                Some((VoterId(*id), Voter { address: endpoint.address.clone() }))
            })
            .collect()
    }
}
