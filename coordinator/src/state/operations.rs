//! Long operations and a bounded memory of the ones that ended.

use std::collections::BTreeMap;

use protocol::admin::{DeploymentState, OperationState};
use serde::{Deserialize, Serialize};

use super::State;
use super::command::OperationKind;
use super::deployments::Deployment;
use super::outcome::{Outcome, Refusal, RefusalCode};
use super::timestamp::Timestamp;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    pub kind: OperationKind,
    pub subject: String,
    pub state: OperationState,
    pub note: String,
    pub done: u64,
    pub total: u64,
    pub started_at: Timestamp,
    pub updated_at: Timestamp,
    pub result: BTreeMap<String, String>,
    /// It fails when it takes longer.
    #[serde(default = "limit_default")]
    pub limit_seconds: u64,
}

/// Longer than any model takes to travel and load.
const LIMIT_SECONDS: u64 = 24 * 3600;

fn limit_default() -> u64 {
    LIMIT_SECONDS
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationChange {
    /// Ends a running operation and takes back what it was about, where that can be.
    Cancel { id: String },
}

impl OperationChange {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cancel { .. } => "cancel-operation",
        }
    }
}

/// What is new of a running operation.
pub(super) struct Progress {
    pub(super) state: OperationState,
    pub(super) note: String,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) result: BTreeMap<String, String>,
    pub(super) at: Timestamp,
}

/// How an operation ends.
pub(super) enum OperationEnd {
    Done(String),
    Failed(String),
    /// With a code as errors of the admin API have it.
    FailedAs {
        note: String,
        code: String,
    },
    Cancelled(String),
}

const OPERATIONS_MAX: usize = 512;

impl State {
    pub(super) fn start_operation(
        &mut self,
        id: String,
        kind: OperationKind,
        subject: String,
        note: String,
    ) -> Result<Outcome, Refusal> {
        self.forget_old_operations();
        if self.operations.len() >= OPERATIONS_MAX {
            let message = format!("{OPERATIONS_MAX} operations are running already");
            return Err(Refusal::new(RefusalCode::Precondition, message, "wait for some to end"));
        }
        let at = self.clock;
        let operation = Operation {
            kind,
            subject,
            state: OperationState::Running,
            note,
            done: 0,
            total: 0,
            started_at: at,
            updated_at: at,
            result: BTreeMap::new(),
            limit_seconds: LIMIT_SECONDS,
        };
        self.operations.entry(id).or_insert(operation);
        Ok(Outcome::Done)
    }

    /// Makes a change that is an operation of its own; a refused one leaves no trace.
    pub(super) fn as_operation(
        &mut self,
        kind: OperationKind,
        subject: String,
        id: &str,
        change: impl FnOnce(&mut Self) -> Result<Outcome, Refusal>,
    ) -> Result<Outcome, Refusal> {
        if self.operations.contains_key(id) {
            return Err(Refusal::stale(format!("there is an operation `{id}` already")));
        }
        self.start_operation(id.to_owned(), kind, subject, String::new())?;
        let changed = change(self);
        if changed.is_err() {
            self.operations.remove(id);
        }
        changed
    }

    pub(super) fn update_operation(
        &mut self,
        id: &str,
        progress: Progress,
    ) -> Result<Outcome, Refusal> {
        let Some(operation) = self.operations.get_mut(id) else {
            let message = format!("there is no operation `{id}`");
            return Err(Refusal::new(RefusalCode::NotFound, message, ""));
        };
        if operation.state != OperationState::Running {
            return Err(Refusal::stale(format!("operation `{id}` has ended")));
        }
        operation.state = progress.state;
        operation.note = progress.note;
        operation.done = progress.done;
        operation.total = progress.total;
        operation.result = progress.result;
        operation.updated_at = progress.at;
        Ok(Outcome::Done)
    }

    /// Ends a running operation; an unknown or ended one stays as it is.
    pub(super) fn end_operation(&mut self, id: &str, end: OperationEnd) {
        let at = self.clock;
        let running = |o: &&mut Operation| o.state == OperationState::Running;
        let Some(operation) = self.operations.get_mut(id).filter(running) else { return };
        operation.updated_at = at;
        match end {
            OperationEnd::Done(note) => {
                operation.state = OperationState::Done;
                operation.note = note;
                operation.done = operation.total;
            }
            OperationEnd::Failed(note) => {
                operation.state = OperationState::Failed;
                operation.note = note;
            }
            OperationEnd::FailedAs { note, code } => {
                operation.state = OperationState::Failed;
                operation.note = note;
                operation.result.insert("code".into(), code);
            }
            OperationEnd::Cancelled(note) => {
                operation.state = OperationState::Failed;
                operation.note = note;
                operation.result.insert("code".into(), "cancelled".into());
            }
        }
    }

    pub(super) fn limit_operation(&mut self, id: &str, seconds: u64) {
        if let Some(operation) = self.operations.get_mut(id) {
            operation.limit_seconds = seconds;
        }
    }

    pub(super) fn change_operation(&mut self, change: OperationChange) -> Result<Outcome, Refusal> {
        match change {
            OperationChange::Cancel { id } => self.cancel(&id),
        }
    }

    fn cancel(&mut self, id: &str) -> Result<Outcome, Refusal> {
        let Some(operation) = self.operations.get(id) else {
            let message = format!("there is no operation `{id}`");
            return Err(Refusal::new(RefusalCode::NotFound, message, "trireme op ls"));
        };
        if operation.state != OperationState::Running {
            let message = format!("operation `{id}` has ended: {}", operation.note);
            return Err(Refusal::new(RefusalCode::Precondition, message, ""));
        }
        let (kind, subject) = (operation.kind, operation.subject.clone());
        let note = match kind {
            OperationKind::Deploy => {
                let of_this = |d: &&Deployment| d.operation.as_deref() == Some(id);
                let deployment = self.deployments.get(&subject).filter(of_this);
                // One that served before stays: the operation only waited for it.
                let serves = |d: &Deployment| d.rollout.state == DeploymentState::Ready;
                if deployment.is_some_and(|d| !d.served && !serves(d)) {
                    self.deployments.remove(&subject);
                    format!("cancelled: {subject} is not deployed")
                } else {
                    format!("cancelled: {subject} stays deployed")
                }
            }
            OperationKind::NodeDrain => {
                self.take_back_drain(id);
                format!("cancelled: {subject} serves on")
            }
            _ => "cancelled".to_owned(),
        };
        self.end_operation(id, OperationEnd::Cancelled(note));
        Ok(Outcome::Done)
    }

    fn forget_old_operations(&mut self) {
        while self.operations.len() >= OPERATIONS_MAX {
            let ended = self.operations.iter().filter(|(_, o)| o.state != OperationState::Running);
            let oldest = ended.min_by_key(|(_, o)| o.updated_at).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { return };
            self.operations.remove(&oldest);
        }
    }
}
