//! The sending end of an edge: frames what its stage yields, and notices when the peer is gone.

use protocol::activation::ActivationHeader;
use protocol::frame::{Frame, FrameKind};
use protocol::ids::RankIndex;
use protocol::transport::{FrameReader, FrameWriter};
use tokio::sync::mpsc;

use super::PipelineSpec;
use super::step::StepOutput;
use crate::error::WorkerError;

/// Both halves of the stream that this rank opened; the peer keeps its half open for the epoch.
pub(super) struct OutgoingEdge {
    pub(super) writer: FrameWriter,
    pub(super) watch: FrameReader,
}

/// Sends until the stage stops (`Ok`) or the peer or connection is gone.
pub(super) async fn run(
    edge: OutgoingEdge,
    spec: PipelineSpec,
    from: RankIndex,
    mut outputs: mpsc::Receiver<StepOutput>,
) -> Result<(), WorkerError> {
    let OutgoingEdge { mut writer, mut watch } = edge;
    let lost = |reason: String| WorkerError::StreamLost { node: "behind the edge".into(), reason };
    loop {
        tokio::select! {
            output = outputs.recv() => {
                let Some(output) = output else { return Ok(()) };
                let frame = frame_of(output, &spec, from)?;
                let bytes = (frame.meta.len() + frame.body.len()) as u64;
                writer.send(&frame).await.map_err(|error| lost(error.to_string()))?;
                metrics::counter!("trireme_edge_sent_bytes_total").increment(bytes);
            }
            ended = watch.recv() => {
                return Err(lost(match ended {
                    Ok(None) => "closed by the peer".to_owned(),
                    Ok(Some(frame)) => format!("unexpected {} frame", frame.kind.name()),
                    Err(error) => error.to_string(),
                }));
            }
        }
    }
}

fn frame_of(
    output: StepOutput,
    spec: &PipelineSpec,
    from: RankIndex,
) -> Result<Frame, WorkerError> {
    let (replica, epoch) = (spec.key.replica, spec.key.epoch);
    Ok(match output {
        StepOutput::Result(result) => Frame::new(FrameKind::StepResult, replica, epoch, &result)?,
        StepOutput::Activations(step) => {
            let header = ActivationHeader {
                from,
                // A rank of the first stage takes the tokens from the batch.
                rows: if step.activations.is_empty() { 0 } else { step.batch.token_count() as u32 },
                hidden_size: spec.hidden_size,
                element: spec.plan.activation(),
                stage_micros: step.stage_micros,
                batch: step.batch,
            };
            Frame::with_body(FrameKind::Step, replica, epoch, &header, step.activations)?
        }
    })
}
