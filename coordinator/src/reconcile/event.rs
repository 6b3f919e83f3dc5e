//! What can happen to the reconciler.

use std::sync::Arc;

use protocol::control::{Heartbeat, Registration};
use protocol::ids::NodeId;
use protocol::node_profile::LinkProfile;

use crate::state::State;

#[derive(Clone, Debug)]
pub enum Event {
    /// The log was applied further.
    StateChanged(Arc<State>),
    /// Every entry of earlier leaders is in the last `StateChanged`.
    BecameLeader,
    BecameFollower,
    /// A worker opened a control stream.
    Registered {
        node: NodeId,
        registration: Box<Registration>,
    },
    Heartbeat {
        node: NodeId,
        heartbeat: Heartbeat,
    },
    /// A worker's control stream ended and no newer one is open.
    StreamLost {
        node: NodeId,
    },
    /// Datagrams of the worker keep arriving at this coordinator.
    DataProgress {
        node: NodeId,
    },
    /// This coordinator's own data connection to the worker got an answer, asked for after the
    /// last event of its control stream.
    Answered {
        node: NodeId,
    },
    /// A worker measured its link to a peer.
    LinkMeasured {
        node: NodeId,
        peer: NodeId,
        link: LinkProfile,
    },
    Tick,
}
