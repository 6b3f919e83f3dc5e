//! A step on its way through the stages of this worker, and where a stage's output goes.

use bytes::Bytes;
use protocol::step_batch::{StepBatch, StepResult};
use tokio::sync::mpsc;

/// Input of one stage for one step.
#[derive(Clone, Debug)]
pub(crate) struct StepInput {
    pub(crate) batch: StepBatch,
    /// Compute time of each earlier stage, microseconds.
    pub(crate) stage_micros: Vec<u32>,
    /// rows x hidden values of the plan's activation type; empty at stage 0.
    pub(crate) activations: Bytes,
}

/// What leaves a stage.
#[derive(Clone, Debug)]
pub(crate) enum StepOutput {
    Activations(StepInput),
    Result(StepResult),
}

/// Every rank of the next stage; nobody behind a rank that is not the first of its stage.
pub(crate) struct Outlets(pub(crate) Vec<Outlet>);

impl Outlets {
    /// Never waits.
    pub(crate) fn pass(&self, output: StepOutput) -> Result<(), String> {
        let Some((last, others)) = self.0.split_last() else { return Ok(()) };
        others.iter().try_for_each(|outlet| outlet.pass(output.clone()))?;
        last.pass(output)
    }
}

/// The next place of a stage's output. Every queue holds as many steps as may be in flight, so a
/// full one means that somebody broke the head's limit.
pub(crate) enum Outlet {
    NextStage(mpsc::Sender<StepInput>),
    Head(mpsc::Sender<StepResult>),
    /// Over an edge to another node.
    Edge(mpsc::Sender<StepOutput>),
}

impl Outlet {
    fn pass(&self, output: StepOutput) -> Result<(), String> {
        match (self, output) {
            (Self::NextStage(next), StepOutput::Activations(step)) => put(next, step),
            (Self::Head(head), StepOutput::Result(result)) => put(head, result),
            (Self::Edge(edge), output) => put(edge, output),
            (Self::NextStage(_), StepOutput::Result(_)) => {
                Err("a stage before the last returned samples".to_owned())
            }
            (Self::Head(_), StepOutput::Activations(_)) => {
                Err("the last stage returned activations".to_owned())
            }
        }
    }
}

/// Queues `value` without waiting; the error says whether the queue is full or gone.
pub(crate) fn put<T>(queue: &mpsc::Sender<T>, value: T) -> Result<(), String> {
    queue.try_send(value).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => {
            "more steps in flight than the plan allows".to_owned()
        }
        mpsc::error::TrySendError::Closed(_) => "the next stage has stopped".to_owned(),
    })
}
