//! The answering side of a link probe: frames go back as they came.

use std::time::Duration;

use protocol::frame::{Frame, FrameKind};
use protocol::transport::{FrameReader, FrameWriter};

use super::hello::stream_lost;
use crate::error::WorkerError;

const SILENCE_MAX: Duration = Duration::from_secs(10);
/// More than a probe ever sends; a peer cannot use the echo as a load generator.
const FRAMES_MAX: u32 = 256;

pub(super) async fn serve(
    mut writer: FrameWriter,
    mut reader: FrameReader,
    node: &str,
) -> Result<(), WorkerError> {
    for _ in 0..FRAMES_MAX {
        let received = tokio::time::timeout(SILENCE_MAX, reader.recv()).await;
        let Ok(received) = received else { return Ok(()) };
        let Some(frame) = received.map_err(|e| stream_lost(node, &e))? else { return Ok(()) };
        echo(&mut writer, &frame, node).await?;
    }
    Ok(())
}

async fn echo(writer: &mut FrameWriter, frame: &Frame, node: &str) -> Result<(), WorkerError> {
    if frame.kind != FrameKind::Probe {
        let (found, expected) = (frame.kind.name(), FrameKind::Probe.name());
        return Err(protocol::ProtocolError::UnexpectedKind { found, expected }.into());
    }
    writer.send(frame).await.map_err(|e| stream_lost(node, &e))
}
