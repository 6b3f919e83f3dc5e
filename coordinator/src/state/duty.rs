//! What people asked of a node: to serve, to take nothing new, to be emptied; and its labels.
//!
//! Whether a node is there is soft state. A drain ends in a cordon, so that nothing comes back onto
//! a node that somebody is about to open.

use std::collections::BTreeMap;

use protocol::admin::OnNoFit;
use protocol::control::Role;
use protocol::ids::{Epoch, NodeId, ReplicaId};
use serde::{Deserialize, Serialize};

use super::command::OperationKind;
use super::members::{Member, check_name};
use super::outcome::{Outcome, Refusal, RefusalCode};
use super::timestamp::Timestamp;
use super::{OperationEnd, State};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    #[default]
    Serve,
    /// Keeps what it runs and gets nothing new.
    Cordoned { since: Timestamp, reason: String },
    /// What it runs moves elsewhere; then it is cordoned.
    Draining {
        since: Timestamp,
        operation: String,
        on_no_fit: OnNoFit,
        /// It was cordoned before, and is again when the drain is given up.
        cordoned: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeChange {
    Cordon {
        node: NodeId,
    },
    /// Of a draining node: the drain is given up as well.
    Uncordon {
        node: NodeId,
    },
    Drain {
        node: NodeId,
        operation: String,
        timeout_seconds: u64,
        on_no_fit: OnNoFit,
    },
    /// The leader's word on how a drain ended; `failed` says why it was given up.
    EndDrain {
        node: NodeId,
        operation: String,
        failed: Option<DrainFailure>,
    },
    /// Takes a replica off its nodes, as it needs one that is drained and no other plan fits.
    StopReplica {
        replica: ReplicaId,
        expected: Option<Epoch>,
        reason: String,
        missing_bytes: u64,
    },
    Label {
        node: NodeId,
        set: BTreeMap<String, String>,
        remove: Vec<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainFailure {
    /// As errors of the admin API have it, e.g. `does_not_fit`.
    pub code: String,
    pub reason: String,
}

pub const LABELS_MAX: usize = 64;

impl Duty {
    pub fn is_draining(&self) -> bool {
        matches!(self, Self::Draining { .. })
    }

    /// May be planned on by a deployment that is not on the node yet.
    pub fn takes_new(&self) -> bool {
        *self == Self::Serve
    }

    /// Since when, unless it serves.
    pub fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Serve => None,
            Self::Cordoned { since, .. } | Self::Draining { since, .. } => Some(*since),
        }
    }
}

impl NodeChange {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cordon { .. } => "cordon-node",
            Self::Uncordon { .. } => "uncordon-node",
            Self::Drain { .. } => "drain-node",
            Self::EndDrain { .. } => "end-drain",
            Self::StopReplica { .. } => "stop-replica",
            Self::Label { .. } => "label-node",
        }
    }

    pub fn node(&self) -> Option<NodeId> {
        match self {
            Self::Cordon { node }
            | Self::Uncordon { node }
            | Self::Drain { node, .. }
            | Self::EndDrain { node, .. }
            | Self::Label { node, .. } => Some(*node),
            Self::StopReplica { .. } => None,
        }
    }
}

impl State {
    pub(super) fn change_node(&mut self, change: NodeChange) -> Result<Outcome, Refusal> {
        match change {
            NodeChange::Cordon { node } => self.cordon(node),
            NodeChange::Uncordon { node } => self.uncordon(node),
            NodeChange::Drain { node, operation, timeout_seconds, on_no_fit } => {
                let name = self.worker(node)?.name.clone();
                let kind = OperationKind::NodeDrain;
                self.as_operation(kind, name, &operation, |state| {
                    state.limit_operation(&operation, timeout_seconds);
                    state.drain(node, operation.clone(), on_no_fit)
                })
            }
            NodeChange::EndDrain { node, operation, failed } => {
                self.end_drain(node, &operation, failed)
            }
            NodeChange::StopReplica { replica, expected, reason, missing_bytes } => {
                self.stop_replica(replica, expected, reason, missing_bytes)
            }
            NodeChange::Label { node, set, remove } => self.label(node, set, &remove),
        }
    }

    fn cordon(&mut self, node: NodeId) -> Result<Outcome, Refusal> {
        let since = self.clock;
        let member = self.worker(node)?;
        match &mut member.duty {
            Duty::Serve => member.duty = Duty::Cordoned { since, reason: "cordoned".into() },
            Duty::Cordoned { .. } => {}
            Duty::Draining { cordoned, .. } => *cordoned = true,
        }
        Ok(Outcome::Done)
    }

    fn uncordon(&mut self, node: NodeId) -> Result<Outcome, Refusal> {
        let member = self.worker(node)?;
        let name = member.name.clone();
        let was = std::mem::take(&mut member.duty);
        if let Duty::Draining { operation, .. } = was {
            let note = format!("{name} serves again: the drain was taken back");
            self.end_operation(&operation, OperationEnd::Cancelled(note));
        }
        Ok(Outcome::Done)
    }

    fn drain(
        &mut self,
        node: NodeId,
        operation: String,
        on_no_fit: OnNoFit,
    ) -> Result<Outcome, Refusal> {
        let since = self.clock;
        let member = self.worker(node)?;
        let cordoned = match &member.duty {
            Duty::Serve => false,
            Duty::Cordoned { .. } => true,
            Duty::Draining { operation, .. } => {
                return Err(Refusal::new(
                    RefusalCode::Precondition,
                    format!("`{}` is draining already", member.name),
                    format!("trireme op wait {operation}"),
                ));
            }
        };
        member.duty = Duty::Draining { since, operation, on_no_fit, cordoned };
        Ok(Outcome::Done)
    }

    fn end_drain(
        &mut self,
        node: NodeId,
        operation: &str,
        failed: Option<DrainFailure>,
    ) -> Result<Outcome, Refusal> {
        let clock = self.clock;
        let member = self.worker(node)?;
        let name = member.name.clone();
        let Duty::Draining { operation: current, cordoned, .. } = &member.duty else {
            return Err(Refusal::stale(format!("`{name}` is not draining")));
        };
        if current != operation {
            return Err(Refusal::stale(format!("`{name}` is drained by another operation")));
        }
        let cordon = |reason: &str| Duty::Cordoned { since: clock, reason: reason.to_owned() };
        let (duty, end) = match failed {
            None => {
                let note = format!("nothing is left on {name}");
                (cordon("drained"), OperationEnd::Done(note))
            }
            Some(DrainFailure { code, reason }) => {
                let duty = if *cordoned { cordon("cordoned") } else { Duty::Serve };
                (duty, OperationEnd::FailedAs { note: reason, code })
            }
        };
        member.duty = duty;
        self.end_operation(operation, end);
        Ok(Outcome::Done)
    }

    /// As if the drain had not been asked for; what has moved stays where it is.
    pub(super) fn take_back_drain(&mut self, id: &str) {
        let since = self.clock;
        for member in self.members.values_mut() {
            let Duty::Draining { operation, cordoned, .. } = &member.duty else { continue };
            if operation == id {
                member.duty = match *cordoned {
                    true => Duty::Cordoned { since, reason: "cordoned".into() },
                    false => Duty::Serve,
                };
            }
        }
    }

    fn label(
        &mut self,
        node: NodeId,
        set: BTreeMap<String, String>,
        remove: &[String],
    ) -> Result<Outcome, Refusal> {
        for (key, value) in &set {
            check_name("label", key)?;
            if !value.is_empty() {
                check_name("label value", value)?;
            }
        }
        let member = self.members.get_mut(&node).ok_or_else(|| Refusal::no_node(&node.short()))?;
        let mut labels = member.labels.clone();
        labels.retain(|key, _| !remove.contains(key));
        labels.extend(set);
        if labels.len() > LABELS_MAX {
            let message = format!("`{}` would have {} labels", member.name, labels.len());
            let hint = format!("at most {LABELS_MAX}");
            return Err(Refusal::new(RefusalCode::InvalidValue, message, hint));
        }
        member.labels = labels;
        Ok(Outcome::Done)
    }

    /// The member, if it is one that models run on.
    fn worker(&mut self, node: NodeId) -> Result<&mut Member, Refusal> {
        let member = self.members.get_mut(&node).ok_or_else(|| Refusal::no_node(&node.short()))?;
        if member.role != Role::Worker {
            return Err(Refusal::new(
                RefusalCode::InvalidValue,
                format!("`{}` is a coordinator: no model runs on it", member.name),
                "name a worker: trireme node ls",
            ));
        }
        Ok(member)
    }
}

#[cfg(test)]
mod tests;
