//! What a scheduler asks its driver to do.

use protocol::generate::{EmittedToken, FinishReason, Refusal};
use protocol::step_batch::StepBatch;

use super::event::StreamKey;

/// A closed list; the driver performs the actions in the order given and decides nothing.
///
/// A stream sees `Refuse` alone, or `Accept`, then any number of `Emit`, then exactly one of
/// `Finish` and `Refuse`.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send to stage 0; batches must reach every stage in the order dispatched.
    Dispatch(StepBatch),
    /// In the queue: the scheduler owns the sequence from here on.
    Accept {
        key: StreamKey,
    },
    Emit {
        key: StreamKey,
        token: EmittedToken,
    },
    /// Last action of a stream that ran.
    Finish {
        key: StreamKey,
        reason: FinishReason,
    },
    /// Last action of a stream that did not run, or could not go on.
    Refuse {
        key: StreamKey,
        refusal: Refusal,
    },
    /// The pipeline missed its deadline or broke the protocol: tear this epoch down. Every stream
    /// has already been refused.
    Abandon {
        reason: String,
    },
}
