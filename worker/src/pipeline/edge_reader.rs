//! The receiving end of an edge: reads frames, checks them, hands them on; never waits on a send.

use protocol::ProtocolError;
use protocol::activation::ActivationHeader;
use protocol::frame::{Frame, FrameKind};
use protocol::ids::StageIndex;
use protocol::limits::STEP_SEQUENCES_MAX;
use protocol::plan::Edge;
use protocol::step_batch::StepResult;
use protocol::transport::{FrameReader, FrameWriter};
use tokio::sync::mpsc;

use super::PipelineSpec;
use super::step::{StepInput, put};
use crate::error::WorkerError;

/// A stream that the rank before this one opened.
pub(crate) struct IncomingEdge {
    pub(crate) reader: FrameReader,
    /// Held for the life of the pipeline: its end tells the peer that this rank is gone.
    pub(crate) keep_open: FrameWriter,
}

/// Where the frames of an edge go.
pub(super) enum Inlet {
    Stage(mpsc::Sender<StepInput>),
    Head(mpsc::Sender<StepResult>),
}

/// Reads until the peer ends the stream or breaks the protocol; always ends in an error.
pub(super) async fn run(
    incoming: IncomingEdge,
    spec: PipelineSpec,
    edge: Edge,
    inlet: Inlet,
) -> WorkerError {
    let IncomingEdge { mut reader, keep_open } = incoming;
    let mut next_step = 0;
    let error = loop {
        let frame = match reader.recv().await {
            Ok(Some(frame)) => frame,
            Ok(None) => break lost("closed by the peer".to_owned()),
            Err(error) => break lost(error.to_string()),
        };
        if let Err(error) = take(&frame, &spec, edge, &inlet, next_step) {
            break error;
        }
        next_step += 1;
    };
    drop(keep_open);
    error
}

fn lost(reason: String) -> WorkerError {
    WorkerError::StreamLost { node: "before the edge".into(), reason }
}

fn take(
    frame: &Frame,
    spec: &PipelineSpec,
    edge: Edge,
    inlet: &Inlet,
    next_step: u64,
) -> Result<(), WorkerError> {
    let (replica, epoch) = (spec.key.replica, spec.key.epoch);
    if (frame.replica, frame.epoch) != (replica, epoch) {
        let (found_replica, found_epoch) = (frame.replica, frame.epoch);
        return Err(ProtocolError::WrongEpoch { found_replica, found_epoch, replica, epoch }.into());
    }
    let bytes = (frame.meta.len() + frame.body.len()) as u64;
    metrics::counter!("trireme_edge_received_bytes_total").increment(bytes);
    let bad = |reason: String| WorkerError::BadStep { step: next_step, reason };
    match inlet {
        Inlet::Stage(stage) => {
            let header: ActivationHeader = frame.open(FrameKind::Step)?;
            check(&header, frame, spec, edge, next_step).map_err(bad)?;
            let ActivationHeader { stage_micros, batch, .. } = header;
            let step = StepInput { batch, stage_micros, activations: frame.body.clone() };
            put(stage, step).map_err(bad)
        }
        Inlet::Head(head) => {
            let result: StepResult = frame.open(FrameKind::StepResult)?;
            if result.step.0 != next_step {
                return Err(bad(format!("the frame is of step {}", result.step)));
            }
            put(head, result).map_err(bad)
        }
    }
}

/// What the engine does not check for itself: that header, plan and body agree.
fn check(
    header: &ActivationHeader,
    frame: &Frame,
    spec: &PipelineSpec,
    edge: Edge,
    next_step: u64,
) -> Result<(), String> {
    let batch = &header.batch;
    let rows = batch.token_count();
    if batch.step.0 != next_step {
        return Err(format!("the frame is of step {}", batch.step));
    }
    if header.from != edge.from {
        return Err(format!("the frame is from rank {}, the edge from {}", header.from, edge.from));
    }
    let rows_max = spec.plan.kv().step_tokens_max as usize;
    // Tokens are in the batch: the first stage gets no rows of activations.
    let first = spec.plan.rank(edge.to).is_some_and(|(stage, _)| stage == StageIndex(0));
    let rows_due = if first { 0 } else { rows };
    if header.rows as usize != rows_due || rows > rows_max {
        return Err(format!("{} rows for {rows} tokens, at most {rows_max}", header.rows));
    }
    if batch.rows.len() > STEP_SEQUENCES_MAX {
        return Err(format!("{} sequences, at most {STEP_SEQUENCES_MAX}", batch.rows.len()));
    }
    if header.hidden_size != spec.hidden_size {
        return Err(format!(
            "hidden size {}, the model's is {}",
            header.hidden_size, spec.hidden_size
        ));
    }
    if header.element != spec.plan.activation() {
        let (found, planned) = (header.element, spec.plan.activation());
        return Err(format!("values of {found:?}, the plan says {planned:?}"));
    }
    if header.stage_micros.len() > spec.plan.stages().len() {
        return Err(format!("times of {} stages", header.stage_micros.len()));
    }
    if frame.body.len() as u64 != header.body_bytes() {
        return Err(format!("{} bytes, expected {}", frame.body.len(), header.body_bytes()));
    }
    Ok(())
}
