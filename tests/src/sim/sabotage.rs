//! Bugs put in on purpose, around the real code, to show that the invariants notice them.

use protocol::ids::BlockId;
use worker::scheduler::{Action, Event};

/// At most one per simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    #[default]
    None,
    /// Two sequences of a batch get one block.
    SharedBlock,
    /// A token is told twice.
    RepeatedToken,
    /// A worker runs frames of an epoch that it has left.
    StaleFrames,
    /// Nobody is told that a stream is over.
    LostFinish,
    /// The scheduler never hears of a cancel.
    DeafToCancel,
}

impl Sabotage {
    pub(super) fn of_event(self, event: Event) -> Event {
        match event {
            Event::Cancel { .. } if self == Self::DeafToCancel => Event::Tick,
            other => other,
        }
    }

    pub(super) fn of_actions(self, actions: Vec<Action>) -> Vec<Action> {
        let mut out = Vec::new();
        for mut action in actions {
            match (&mut action, self) {
                (Action::Dispatch(batch), Self::SharedBlock) => {
                    let first: Option<BlockId> =
                        batch.rows.first().and_then(|rows| rows.block_tables[0].first().copied());
                    if let (Some(block), [_, second, ..]) = (first, &mut batch.rows[..]) {
                        second.block_tables[0][0] = block;
                    }
                }
                (Action::Emit { .. }, Self::RepeatedToken) => out.push(action.clone()),
                (Action::Finish { .. }, Self::LostFinish) => continue,
                _ => {}
            }
            out.push(action);
        }
        out
    }
}
