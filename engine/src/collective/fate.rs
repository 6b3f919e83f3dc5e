//! Whether a group goes on: told by whoever notices first that a rank is gone.

use std::sync::{Arc, OnceLock};

use super::CollectiveError;

/// Shared by a rank and those that watch over its group; a group that has ended stays so.
#[derive(Clone, Debug, Default)]
pub struct Fate {
    lost: Arc<OnceLock<(usize, String)>>,
}

impl Fate {
    /// The rank gives up where it waits, at the latest some milliseconds from now. The first
    /// reason stays.
    pub fn end(&self, rank: usize, reason: String) {
        // A group is lost once.
        let _ = self.lost.set((rank, reason));
    }

    pub(super) fn check(&self) -> Result<(), CollectiveError> {
        match self.lost.get() {
            None => Ok(()),
            Some((rank, reason)) => {
                Err(CollectiveError::RankLost { rank: *rank, reason: reason.clone() })
            }
        }
    }
}
