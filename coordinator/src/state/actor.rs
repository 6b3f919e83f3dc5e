//! Who asked for a change: it travels with the command, into the audit chain.

use std::fmt;

use protocol::admin::KeyRole;
use protocol::control::Role;
use protocol::ids::NodeId;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Actor {
    /// The cluster itself: the reconciler, a coordinator about itself.
    #[default]
    System,
    /// Whoever is at a coordinator's machine, where no key is asked for.
    Local,
    /// A person or a program with an API key.
    Key { name: String, role: KeyRole },
    /// A machine that speaks for itself, e.g. when it joins.
    Node { node: NodeId, role: Role },
}

impl Actor {
    /// Whether somebody decided this; everything else follows from what was decided before.
    pub fn is_person(&self) -> bool {
        matches!(self, Self::Local | Self::Key { .. })
    }

    pub fn role(&self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Local => KeyRole::Admin.name(),
            Self::Key { role, .. } => role.name(),
            Self::Node { role, .. } => role.name(),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Local => f.write_str("local"),
            Self::Key { name, .. } => write!(f, "key {name}"),
            Self::Node { node, .. } => write!(f, "node {node}"),
        }
    }
}
