//! What a request's life asks its driver to do.

use std::time::Duration;

use protocol::generate::{EmittedToken, FinishReason, GenerateRequest};

use super::event::Attempt;
use crate::gateway::router::{Shortage, Target};

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a stream to the target's head; events of it carry the attempt.
    Submit {
        attempt: Attempt,
        target: Target,
        request: Box<GenerateRequest>,
    },
    /// Tell the head to give the sequence up, and drop the stream.
    Cancel {
        attempt: Attempt,
    },
    /// For the first time a head owns the sequence: it is never refused for lack of room any more.
    Accepted,
    /// The answer goes on in other tensor-parallel shares: from here on its words may not be those
    /// that an undisturbed run would have had.
    Reshared,
    Emit(EmittedToken),
    /// The last action, or
    Finish(FinishReason),
    /// this is.
    Fail(Failure),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// No replica accepted the sequence within the wait; `ran` when one had before.
    NoReplica {
        shortage: Option<Shortage>,
        /// Why the last submission failed.
        lost: Option<String>,
        waited: Duration,
        ran: bool,
    },
    /// This coordinator stops before the answer was whole.
    NodeStops,
    QueueFull {
        waiting: u32,
    },
    TooLong {
        tokens: u32,
        limit: u32,
    },
    /// The head cannot take these parameters.
    Invalid {
        reason: String,
    },
    /// No token within the wait for the first one, or no end within the total.
    Overdue {
        waited: Duration,
    },
    /// The sequence lost its replica again and again without a token.
    Unlucky {
        losses: u32,
        reason: String,
    },
}
