//! What applying a command led to; every copy of the state computes the same.

use std::fmt;

use protocol::ids::{Epoch, ReplicaId};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    Deployed { replica: ReplicaId },
    Placed { epoch: Epoch },
    Refused(Refusal),
}

/// A command that changed nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: RefusalCode,
    pub message: String,
    /// What helps, for people; may be empty.
    pub hint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    NotFound,
    InvalidValue,
    /// The state is not (any more) what the command needs.
    Precondition,
    /// A join token that does not open the door.
    Forbidden,
}

impl RefusalCode {
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::InvalidValue => "invalid_value",
            Self::Precondition => "precondition",
            Self::Forbidden => "forbidden",
        }
    }
}

impl Refusal {
    pub fn new(code: RefusalCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into() }
    }

    pub(crate) fn no_model(name: &str) -> Self {
        let message = format!("there is no model named `{name}`");
        Self::new(RefusalCode::NotFound, message, "trireme model ls")
    }

    pub(crate) fn no_node(name: &str) -> Self {
        let message = format!("there is no node named `{name}`");
        Self::new(RefusalCode::NotFound, message, "trireme node ls")
    }

    pub(crate) fn no_key(name: &str) -> Self {
        let message = format!("there is no key named `{name}`");
        Self::new(RefusalCode::NotFound, message, "trireme keys ls")
    }

    pub(crate) fn stale(what: impl Into<String>) -> Self {
        Self::new(RefusalCode::Precondition, what, "")
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Deployed { replica } => write!(f, "replica {replica}"),
            Self::Placed { epoch } => write!(f, "epoch {epoch}"),
            Self::Refused(refusal) => f.write_str(&refusal.message),
        }
    }
}
