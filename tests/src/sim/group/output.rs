//! What the coordinators' tasks hand to the simulator.

use coordinator::raft::ProposeError;
use coordinator::state::Outcome;
use coordinator::testing::{Answer, Call, Replica};
use futures::channel::oneshot;
use protocol::ids::NodeId;

pub(super) enum Output {
    Called {
        from: usize,
        to: NodeId,
        call: Call,
        caller: oneshot::Sender<Result<Answer, String>>,
    },
    Answered {
        exchange: u64,
        answer: Result<Answer, String>,
    },
    Started {
        index: usize,
        life: u64,
        started: Result<Replica, String>,
    },
    /// Whether a coordinator leads with everything that was committed before.
    CaughtUp {
        index: usize,
        life: u64,
        term: u64,
        yes: bool,
    },
    Tended {
        index: usize,
        life: u64,
    },
    /// A change of the reconciler's own was committed, or not.
    Proposed {
        index: usize,
        life: u64,
    },
    /// A client's request was answered.
    Told {
        request: usize,
        attempt: u32,
        told: Result<Outcome, ProposeError>,
    },
    /// The cluster is founded, its nodes are admitted, its model is deployed.
    Founded(Result<(), ProposeError>),
}

impl Output {
    /// Whether it is gone when coordinator `dead` dies before it was heard.
    pub(super) fn is_of(&self, dead: usize) -> bool {
        match self {
            Self::Called { from, .. } => *from == dead,
            Self::Started { index, .. }
            | Self::CaughtUp { index, .. }
            | Self::Tended { index, .. }
            | Self::Proposed { index, .. } => *index == dead,
            Self::Answered { .. } | Self::Told { .. } | Self::Founded(_) => false,
        }
    }
}
