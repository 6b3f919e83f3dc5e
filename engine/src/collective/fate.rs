//! Whether a group goes on: told by whoever notices first that a rank is gone.

use std::sync::{Arc, OnceLock};

use super::CollectiveError;

/// Shared by a rank and those that watch over its group; a group that has ended stays so.
#[derive(Clone, Debug, Default)]
pub struct Fate {
    ended: Arc<OnceLock<CollectiveError>>,
}

impl Fate {
    /// The rank gives up where it waits, at the latest some milliseconds from now. The first
    /// reason stays.
    pub fn end(&self, rank: usize, reason: String) {
        self.fail(CollectiveError::RankLost { rank, reason });
    }

    /// Why the group has ended, if it has: what was read from a device since is worth nothing.
    pub fn check(&self) -> Result<(), CollectiveError> {
        self.ended.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    pub(super) fn fail(&self, error: CollectiveError) {
        // A group ends once.
        let _ = self.ended.set(error);
    }
}
