//! What can happen to a scheduler.

use protocol::generate::GenerateRequest;
use protocol::step_batch::StepResult;

/// Names one submission from `Submit` to its last action; the driver never uses one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(pub u64);

/// Everything the driver may tell the scheduler; a closed list.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A gateway opened a stream for this epoch (older and newer ones are the driver's to refuse).
    Submit { key: StreamKey, request: GenerateRequest },
    /// The gateway gave the stream up, or went away. Unknown and finished keys are ignored.
    Cancel { key: StreamKey },
    /// The last stage answered. Results must arrive in the order of their steps.
    StepDone(StepResult),
    /// A stage or an edge is gone: nothing of this epoch can run any more.
    PipelineLost { reason: String },
    /// Take nothing new, send the queue elsewhere, let what runs come to its end.
    Drain,
    /// End what is left at once: the drain's deadline has passed, or the shard goes away.
    Stop,
    /// Time has passed; due no later than `Scheduler::deadline` says.
    Tick,
}
