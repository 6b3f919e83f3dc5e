//! One deployment's next step: plan it, plan it anew, call it ready, degraded or failed.

use std::collections::BTreeSet;
use std::time::Duration;

use partitioner::PlanError;
use protocol::admin::DeploymentState;
use protocol::ids::{Epoch, NodeId};
use protocol::shard::{ShardFailure, ShardState};

use super::rollout::Attempt;
use super::{Action, Reconciler, placement};
use crate::state::{Change, Deployment, Duty, Placement, State};

impl Reconciler {
    pub(super) fn reconcile_deployment(
        &mut self,
        state: &State,
        name: &str,
        deployment: &Deployment,
        now: Duration,
    ) -> Option<Action> {
        self.note_failures(deployment, now);
        self.note_lost_nodes(deployment, now);
        let config = self.config.clone();
        let track = self.rollouts.get_mut(&deployment.replica)?;
        if track.waits_for_proposal(now) {
            return None;
        }
        track.served_long(now, &config);
        let Some(placement) = &deployment.placement else {
            return self.plan(state, name, deployment, now);
        };
        let Some(broken) = track.broken.clone() else {
            return self.follow(deployment, placement, now);
        };
        let gave_up = track.gave_up(&config) && !broken.node_lost;
        if gave_up && deployment.rollout.state != DeploymentState::Failed {
            return Some(self.set(deployment, DeploymentState::Failed, broken.reason, 0, now));
        }
        if !broken.node_lost {
            // With every node alive the same plan may do, but first it must be sure that they
            // are: one silence shall cost one epoch.
            let nodes = placement.plan.nodes();
            let heard = nodes.iter().all(|node| self.liveness.spoke_since(*node, broken.at));
            if !track.may_retry(now) || !heard {
                return None;
            }
        }
        self.plan(state, name, deployment, now)
    }

    /// A plan on what may be used now, or the degraded state that says what is missing.
    fn plan(
        &mut self,
        state: &State,
        name: &str,
        deployment: &Deployment,
        now: Duration,
    ) -> Option<Action> {
        if self.liveness.any_expected() {
            return None;
        }
        let model = state.models.get(name).filter(|m| m.manifest == deployment.manifest)?;
        let track = self.rollouts.get_mut(&deployment.replica)?;
        let held = deployment.placement.as_ref().map(|p| p.plan.nodes()).unwrap_or_default();
        let allowed = |node: NodeId| match state.members.get(&node).map(|m| &m.duty) {
            Some(Duty::Serve) => true,
            Some(Duty::Cordoned { .. }) => held.contains(&node),
            _ => false,
        };
        let usable = |node: NodeId| {
            allowed(node) && self.liveness.is_usable(node, now) && !track.is_excluded(node, now)
        };
        let attempt = Attempt {
            nodes: state
                .workers()
                .filter(|(node, _)| usable(*node))
                .map(|(node, member)| (node, member.profile_index))
                .collect(),
            links_down: track.links_down(now),
        };
        let degraded = deployment.rollout.state == DeploymentState::Degraded;
        if degraded && track.hopeless.as_ref() == Some(&attempt) {
            return None;
        }
        let down: BTreeSet<_> = attempt.links_down.iter().copied().collect();
        let objectives = match &deployment.placement {
            Some(lost) => {
                placement::objectives_after_loss(&model.spec, &deployment.options, &lost.plan)
            }
            None => vec![placement::objective(&model.spec, &deployment.options)],
        };
        match placement::place_first(state, model, &objectives, &usable, &down) {
            Ok(planned) => {
                track.proposed(now + self.config.proposal);
                Some(Action::Propose(Change::PlacePlan {
                    replica: deployment.replica,
                    expected: deployment.epoch(),
                    plan: Box::new(planned.plan),
                }))
            }
            Err(error) => {
                track.hopeless = Some(attempt);
                self.degrade(deployment, &error, now)
            }
        }
    }

    fn degrade(
        &mut self,
        deployment: &Deployment,
        error: &PlanError,
        now: Duration,
    ) -> Option<Action> {
        let rollout = &deployment.rollout;
        let reason = format!("degraded: {error}");
        if rollout.state == DeploymentState::Degraded && rollout.reason == reason {
            return None;
        }
        let missing = placement::missing_bytes(error);
        Some(self.set(deployment, DeploymentState::Degraded, reason, missing, now))
    }

    /// An epoch that is not broken: ready once every node of the plan says so.
    fn follow(
        &mut self,
        deployment: &Deployment,
        placement: &Placement,
        now: Duration,
    ) -> Option<Action> {
        let ready = |node: &NodeId| {
            self.state_of(*node, deployment, placement.epoch) == Some(&ShardState::Ready)
        };
        if !placement.plan.nodes().iter().all(ready) {
            return None;
        }
        self.rollouts.get_mut(&deployment.replica)?.ready(now);
        if deployment.rollout.state == DeploymentState::Ready {
            return None;
        }
        Some(self.set(deployment, DeploymentState::Ready, String::new(), 0, now))
    }

    fn set(
        &mut self,
        deployment: &Deployment,
        state: DeploymentState,
        reason: String,
        missing_bytes: u64,
        now: Duration,
    ) -> Action {
        let until = now + self.config.proposal;
        if let Some(track) = self.rollouts.get_mut(&deployment.replica) {
            track.proposed(until);
        }
        let (replica, epoch) = (deployment.replica, deployment.epoch());
        Action::Propose(Change::SetRollout { replica, epoch, state, reason, missing_bytes })
    }

    fn note_failures(&mut self, deployment: &Deployment, now: Duration) {
        let Some(placement) = &deployment.placement else { return };
        let mut failures = Vec::new();
        for node in placement.plan.nodes() {
            if let Some(ShardState::Failed { kind, reason }) =
                self.state_of(node, deployment, placement.epoch)
            {
                let name = self.state.members.get(&node).map_or("?", |m| m.name.as_str());
                failures.push((node, *kind, format!("{name}: {reason}")));
            }
        }
        // A cause says more than its echo on the other nodes.
        failures.sort_by_key(|(_, kind, _)| *kind == ShardFailure::PipelineLost);
        let Some(track) = self.rollouts.get_mut(&deployment.replica) else { return };
        for (node, kind, reason) in failures {
            track.shard_failed(node, kind, &reason, now, &self.config);
        }
    }

    /// What a new leader finds: a plan whose nodes are gone, or one that was given up.
    fn note_lost_nodes(&mut self, deployment: &Deployment, now: Duration) {
        let Some(placement) = &deployment.placement else { return };
        let mut lost = placement.plan.nodes().into_iter().filter(|n| self.liveness.is_lost(*n));
        let reason = match lost.next() {
            Some(node) => {
                let name = self.state.members.get(&node).map(|m| m.name.clone());
                format!("node {} is gone", name.unwrap_or_else(|| node.short()))
            }
            None if deployment.rollout.state == DeploymentState::Degraded => {
                deployment.rollout.reason.clone()
            }
            None => return,
        };
        if let Some(track) = self.rollouts.get_mut(&deployment.replica) {
            track.node_lost(reason, now);
        }
    }

    fn state_of(&self, node: NodeId, deployment: &Deployment, epoch: Epoch) -> Option<&ShardState> {
        if self.liveness.is_lost(node) {
            return None;
        }
        let report = self.reports.get(&node)?;
        let same =
            |s: &&protocol::shard::ShardStatus| s.replica == deployment.replica && s.epoch == epoch;
        report.shards.iter().find(same).map(|s| &s.state)
    }
}
