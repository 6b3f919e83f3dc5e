//! Keeps the Raft group as the members say: a coordinator that joined becomes a learner, then a
//! voter; the number of voters stays odd, as a second voter only adds a way to lose the quorum.

use std::collections::{BTreeMap, BTreeSet};

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use protocol::control::Role;
use protocol::ids::NodeId;

use super::node::Consensus;
use super::type_config::{Voter, VoterId};
use crate::error::CoordinatorError;

/// A learner this close to the leader's log may vote.
const CAUGHT_UP_ENTRIES: u64 = 64;

impl Consensus {
    /// One step towards the wanted group; the leader calls it now and then.
    pub(crate) async fn tend_membership(&self) -> Result<(), CoordinatorError> {
        let wanted = self.wanted();
        let metrics = self.raft().metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let nodes: BTreeSet<_> = membership.nodes().map(|(id, _)| *id).collect();
        if wanted.is_empty() || !wanted.contains_key(&VoterId(self.own())) {
            return self.step_aside(&nodes, &wanted).await;
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
        let last = metrics.last_log_index.unwrap_or(0);
        let caught_up = |id: &VoterId| {
            let matched = metrics.replication.as_ref().and_then(|r| r.get(id).cloned().flatten());
            *id == VoterId(self.own())
                || matched.is_some_and(|log| log.index + CAUGHT_UP_ENTRIES >= last)
        };
        let voters: BTreeSet<_> = membership.voter_ids().collect();
        let keep = voters.iter().filter(|id| wanted.contains_key(id));
        let new = wanted.keys().filter(|id| nodes.contains(id) && caught_up(id));
        let next = odd(VoterId(self.own()), keep.chain(new).copied());
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

    pub(super) fn address_of(&self, node: NodeId) -> Option<String> {
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
    async fn step_aside(
        &self,
        nodes: &BTreeSet<VoterId>,
        wanted: &BTreeMap<VoterId, Voter>,
    ) -> Result<(), CoordinatorError> {
        let rest: BTreeSet<_> =
            nodes.iter().copied().filter(|id| wanted.contains_key(id)).collect();
        let Some(first) = rest.first().copied() else { return Ok(()) };
        let next = odd(first, rest.iter().copied());
        self.raft().change_membership(next, false).await.map_err(CoordinatorError::raft)?;
        Ok(())
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

/// The largest odd number of `ids`, `first` among them, up to three.
fn odd(first: VoterId, ids: impl Iterator<Item = VoterId>) -> BTreeSet<VoterId> {
    let mut unique = Vec::from([first]);
    for id in ids {
        if !unique.contains(&id) {
            unique.push(id);
        }
    }
    let count = if unique.len() >= 3 { 3 } else { 1 };
    unique.truncate(count);
    unique.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_three_vote_and_the_leader_always_does() {
        let check = |count: u64, voters: usize| {
            let next = odd(VoterId::from(count - 1), (0..count).map(VoterId::from));
            assert_eq!(next.len(), voters, "{count} coordinators");
            assert!(next.contains(&VoterId::from(count - 1)));
        };
        check(1, 1);
        check(2, 1);
        check(3, 3);
        check(4, 3);
    }
}
