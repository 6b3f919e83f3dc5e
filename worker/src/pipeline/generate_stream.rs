//! One gateway's stream at the head: its request in, its events out, its end as a cancel.

use std::time::Duration;

use protocol::frame::{Frame, FrameKind};
use protocol::generate::{GenerateEvent, GenerateRequest, Refusal};
use protocol::transport::{FrameReader, FrameWriter};

use super::head::{HeadHandle, Submission};
use crate::data_plane::{next, stream_lost};
use crate::error::WorkerError;
use crate::shard::ShardKey;

const GATEWAY: &str = "of the gateway";
/// The request follows the hello's answer within this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A gateway that takes no event for this long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a stream whose hello was answered.
pub(crate) async fn serve(
    mut writer: FrameWriter,
    mut reader: FrameReader,
    key: ShardKey,
    head: &HeadHandle,
) -> Result<(), WorkerError> {
    let first = tokio::time::timeout(REQUEST_TIMEOUT, next(&mut reader, GATEWAY));
    let frame = first.await.map_err(|_| WorkerError::NoAnswer {
        node: GATEWAY.to_owned(),
        seconds: REQUEST_TIMEOUT.as_secs(),
        waiting_for: "its request was due",
    })??;
    let request: GenerateRequest = frame.open(FrameKind::Generate)?;
    let prompt_tokens = request.prompt.len();
    tracing::debug!(request = %request.request_id, prompt_tokens, "submitted");
    let Some(submission) = head.submit(request).await else {
        return send(&mut writer, key, &over()).await;
    };
    let stream = submission.key;
    let ended = relay(&mut writer, &mut reader, key, submission).await;
    if !matches!(ended, Ok(Ended::ByHead)) {
        head.cancel(stream).await;
    }
    ended.map(|_| writer.finish())
}

enum Ended {
    ByHead,
    ByGateway,
}

async fn relay(
    writer: &mut FrameWriter,
    reader: &mut FrameReader,
    key: ShardKey,
    mut submission: Submission,
) -> Result<Ended, WorkerError> {
    loop {
        tokio::select! {
            event = submission.events.recv() => {
                let event = event.unwrap_or_else(over);
                let last = matches!(event, GenerateEvent::Finished(_) | GenerateEvent::Refused(_));
                send(writer, key, &event).await?;
                if last {
                    return Ok(Ended::ByHead);
                }
            }
            frame = reader.recv() => {
                return match frame {
                    Ok(Some(frame)) if frame.kind == FrameKind::Cancel => Ok(Ended::ByGateway),
                    Ok(Some(frame)) => Err(protocol::ProtocolError::UnexpectedKind {
                        found: frame.kind.name(),
                        expected: FrameKind::Cancel.name(),
                    }.into()),
                    Ok(None) => Ok(Ended::ByGateway),
                    Err(error) => Err(stream_lost(GATEWAY, &error)),
                };
            }
        }
    }
}

/// What a stream hears when its epoch ended before its sequence did.
fn over() -> GenerateEvent {
    let reason = "the epoch is over".to_owned();
    GenerateEvent::Refused(Refusal::PipelineLost { reason })
}

async fn send(
    writer: &mut FrameWriter,
    key: ShardKey,
    event: &GenerateEvent,
) -> Result<(), WorkerError> {
    let frame = Frame::new(FrameKind::GenerateEvent, key.replica, key.epoch, event)?;
    let sent = tokio::time::timeout(SEND_TIMEOUT, writer.send(&frame)).await;
    let sent = sent.map_err(|_| WorkerError::NoAnswer {
        node: GATEWAY.to_owned(),
        seconds: SEND_TIMEOUT.as_secs(),
        waiting_for: "events were sent",
    })?;
    sent.map_err(|error| stream_lost(GATEWAY, &error))
}
