//! Levels of the log's format: which commands a group may use while its binaries differ.
//!
//! A level numbers what a command may hold and what applying it does. The leader stamps every
//! command with the highest level that all coordinators speak, and refuses what needs a higher one:
//! so two neighbouring versions make one group. A node never applies a command of a level that it
//! does not know: it would compute another state than the others.
//!
//! A new kind of change, a new field that an older version would drop, or another effect of a known
//! change (which then asks `State::level`) needs a new level: raise `protocol::control::LOG_LEVEL`
//! and say so here.

use protocol::control::{LOG_LEVEL, Role};
use serde::Deserialize;

use super::command::{Change, Command};
use super::outcome::{Refusal, RefusalCode};
use super::{Member, State};

/// Commands from before there were levels have this one.
pub(super) const FIRST: u32 = 1;
/// Topics with changes of their own; what people change is audited.
const SECOND: u32 = 2;

#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    #[error(
        "entry {index} of the log has level {found}, this version speaks levels up to {speaks}: \
         start a newer version of trireme on this node"
    )]
    Entry { index: u64, found: u32, speaks: u32 },
    #[error(
        "the snapshot has level {found}, this version speaks levels up to {speaks}: \
         start a newer version of trireme on this node"
    )]
    Snapshot { found: u32, speaks: u32 },
    #[error("the snapshot does not read: {reason}")]
    Unreadable { reason: String },
}

impl Change {
    /// The lowest level that has this change.
    fn level(&self) -> u32 {
        match self {
            Self::FoundCluster { .. }
            | Self::AddJoinToken { .. }
            | Self::AdmitNode { .. }
            | Self::RecordRegistration { .. }
            | Self::RecordLink { .. }
            | Self::RecordEndpoint { .. }
            | Self::RemoveNode { .. }
            | Self::AddModel { .. }
            | Self::Deploy { .. }
            | Self::Undeploy { .. }
            | Self::PlacePlan { .. }
            | Self::SetRollout { .. }
            | Self::AddKey { .. }
            | Self::StartOperation { .. }
            | Self::UpdateOperation { .. } => FIRST,
            Self::Unread(_) => u32::MAX,
            // Named here as soon as there is a third level.
            _ => SECOND,
        }
    }
}

impl Command {
    /// Whether a node that speaks up to level `speaks` may apply this at `index`.
    pub fn check_level(&self, index: u64, speaks: u32) -> Result<(), LevelError> {
        if self.level <= speaks.min(LOG_LEVEL) {
            return Ok(());
        }
        Err(LevelError::Entry { index, found: self.level, speaks })
    }
}

impl State {
    /// `command` with the level that the group speaks, or why the group cannot have it yet; for a
    /// leader that itself speaks up to `speaks`.
    pub fn stamped(&self, command: Command, speaks: u32) -> Result<Command, Refusal> {
        let least = self.members.values().filter_map(spoken).min_by_key(|(level, _)| *level);
        let needed = command.change.level();
        let level = least.map_or(speaks, |(level, _)| level.min(speaks));
        if needed > level {
            let slow = least.map_or("this coordinator", |(_, name)| name);
            let change = command.change.name();
            return Err(Refusal::new(
                RefusalCode::Precondition,
                format!("`{slow}` speaks level {level} of the log, `{change}` needs {needed}"),
                format!("upgrade {slow}"),
            ));
        }
        Ok(Command { level, ..command })
    }

    /// Refuses a coordinator that could not read what the log holds already.
    pub(super) fn check_coordinator(&self, name: &str, speaks: u32) -> Result<(), Refusal> {
        if speaks >= self.level {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalCode::Precondition,
            format!("`{name}` speaks level {speaks} of the log, the cluster uses {}", self.level),
            format!("upgrade {name}"),
        ))
    }

    /// Reads a snapshot's state.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, LevelError> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(default)]
            level: u32,
        }
        let unreadable =
            |error: serde_json::Error| LevelError::Unreadable { reason: error.to_string() };
        let head: Head = serde_json::from_slice(bytes).map_err(unreadable)?;
        if head.level > LOG_LEVEL {
            return Err(LevelError::Snapshot { found: head.level, speaks: LOG_LEVEL });
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }
}

/// What a coordinator said that it speaks.
fn spoken(member: &Member) -> Option<(u32, &str)> {
    let endpoint = member.endpoint.as_ref().filter(|_| member.role == Role::Coordinator)?;
    Some((endpoint.level, &member.name))
}
