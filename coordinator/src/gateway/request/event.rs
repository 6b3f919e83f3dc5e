//! What happens to a request's life.

use protocol::generate::GenerateEvent;
use protocol::ids::{Epoch, ReplicaId};

use crate::gateway::router::Route;

/// Number of a submission; what belongs to an older one is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(pub u32);

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The replicas as they are now: the first event, and again at every change.
    Route(Route),
    /// The head of a submission says something, in a frame of this replica and epoch.
    Head {
        attempt: Attempt,
        replica: ReplicaId,
        epoch: Epoch,
        event: GenerateEvent,
    },
    /// The stream of a submission could not be opened, or broke.
    Lost {
        attempt: Attempt,
        reason: String,
    },
    /// A stop string is complete in the text.
    StopString,
    ClientGone,
    /// The time that `deadline` named has come.
    Timer,
}
