//! Emptying nodes: what runs on one that is drained, or that was told to stop, is planned without
//! it. All of it moves or, where a plan is missing and the drain is to be given up then, none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::admin::DeploymentState::Starting;
use protocol::admin::OnNoFit;
use protocol::control::CoordinatorMessage;
use protocol::ids::NodeId;

use super::placement::{self, Move};
use super::{Action, Reconciler};
use crate::state::{Change, DrainFailure, Duty, NodeChange, State};

/// Proposals and messages under way, per node; a new leader begins anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Drains {
    proposed: BTreeMap<NodeId, (Step, Duration)>,
    released: BTreeSet<NodeId>,
}

/// What was proposed; the next step does not wait for the answer to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Move,
    End,
}

/// Who is emptied, and what becomes of a model that fits nowhere else.
enum Emptied {
    Drained {
        operation: String,
        on_no_fit: OnNoFit,
    },
    /// A process that was told to stop: it goes anyway.
    Leaving,
}

impl Drains {
    /// The node speaks to a new leader, or came back.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.proposed.remove(&node);
        self.released.remove(&node);
    }

    pub(super) fn forget_all(&mut self) {
        *self = Self::default();
    }
}

impl Reconciler {
    pub(super) fn empty_nodes(&mut self, state: &State, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        for (node, emptied) in self.emptied(state) {
            let step = if placement::runs_on(state, node) { Step::Move } else { Step::End };
            let proposed = self.drains.proposed.get(&node);
            if !proposed.is_some_and(|(last, until)| *last == step && now < *until) {
                actions.extend(self.empty(state, node, &emptied, now));
            }
        }
        actions
    }

    fn emptied(&self, state: &State) -> Vec<(NodeId, Emptied)> {
        let emptied = |(node, member): (NodeId, &crate::state::Member)| match &member.duty {
            Duty::Draining { operation, on_no_fit, .. } => {
                let (operation, on_no_fit) = (operation.clone(), *on_no_fit);
                Some((node, Emptied::Drained { operation, on_no_fit }))
            }
            _ => self.liveness.is_leaving(node).then_some((node, Emptied::Leaving)),
        };
        state.workers().filter_map(emptied).collect()
    }

    fn empty(
        &mut self,
        state: &State,
        node: NodeId,
        emptied: &Emptied,
        now: Duration,
    ) -> Vec<Action> {
        if !placement::runs_on(state, node) {
            return self.nothing_planned_on(state, node, emptied, now);
        }
        // A coordinator that has just started does not know yet where else there is room.
        if self.liveness.any_expected() {
            return Vec::new();
        }
        let usable = |other: NodeId, held: bool| {
            let duty = state.members.get(&other).map(|m| &m.duty);
            let allowed = |d: &Duty| d.takes_new() || (held && !d.is_draining());
            self.liveness.is_usable(other, now) && duty.is_some_and(allowed)
        };
        let moves = placement::without_node(state, node, &usable);
        let missing =
            moves.iter().find_map(|moved| moved.planned.as_ref().err().map(|e| (moved, e)));
        let lacks = missing.map(|(moved, error)| format!("{} {error}", moved.model));
        let until = now + self.config.proposal;
        self.drains.proposed.insert(node, (Step::Move, until));
        let mut actions = Vec::new();
        match (emptied, lacks) {
            (Emptied::Drained { operation, on_no_fit: OnNoFit::Abort }, Some(reason)) => {
                let reason = format!("no plan without it: {reason}");
                let code = "does_not_fit".to_owned();
                let failed = Some(DrainFailure { code, reason });
                let operation = operation.clone();
                let change = NodeChange::EndDrain { node, operation, failed };
                return vec![Action::Propose(Change::Node(change))];
            }
            (Emptied::Leaving, Some(reason)) => {
                let reason = format!("no plan without this node: {reason}");
                if moves.iter().all(|moved| moved.planned.is_err()) {
                    actions.extend(self.release(node, reason));
                }
            }
            _ => {}
        }
        let stops = matches!(emptied, Emptied::Drained { .. });
        for moved in moves {
            actions.extend(self.carry_out(moved, stops, now));
        }
        actions
    }

    fn carry_out(&mut self, moved: Move, stops: bool, now: Duration) -> Option<Action> {
        let Move { replica, expected, planned, .. } = moved;
        let track = self.rollouts.get_mut(&replica)?;
        if track.waits_for_proposal(now) {
            return None;
        }
        let change = match planned {
            Ok(planned) => Change::PlacePlan { replica, expected, plan: Box::new(planned.plan) },
            Err(error) if stops => Change::Node(NodeChange::StopReplica {
                replica,
                expected,
                reason: format!("degraded: {error}"),
                missing_bytes: placement::missing_bytes(&error),
            }),
            Err(_) => return None,
        };
        track.proposed(now + self.config.proposal);
        Some(Action::Propose(change))
    }

    /// The drain ends when the node itself says that it holds nothing, and nobody loads what it may
    /// be the only one to have on disk; or when it is gone.
    fn nothing_planned_on(
        &mut self,
        state: &State,
        node: NodeId,
        emptied: &Emptied,
        now: Duration,
    ) -> Vec<Action> {
        let holds = self.reports.get(&node).is_some_and(|r| !r.shards.is_empty());
        if self.liveness.is_live(node) && (holds || is_fetched_from(state, node)) {
            return Vec::new();
        }
        match emptied {
            Emptied::Leaving => {
                self.release(node, "nothing is left on this node".into()).into_iter().collect()
            }
            Emptied::Drained { operation, .. } => {
                self.drains.proposed.insert(node, (Step::End, now + self.config.proposal));
                let operation = operation.clone();
                let change = NodeChange::EndDrain { node, operation, failed: None };
                vec![Action::Propose(Change::Node(change))]
            }
        }
    }

    fn release(&mut self, node: NodeId, reason: String) -> Option<Action> {
        let message = CoordinatorMessage::Release { reason };
        self.drains.released.insert(node).then_some(Action::Send { node, message })
    }
}

fn is_fetched_from(state: &State, node: NodeId) -> bool {
    state.deployments.iter().any(|(name, deployment)| {
        let holds = state.models.get(name).is_some_and(|model| model.holders.contains(&node));
        holds && deployment.placement.is_some() && deployment.rollout.state == Starting
    })
}
