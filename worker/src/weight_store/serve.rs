//! The holder's side of a `Weights` stream: every piece is verified as it is read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::frame::{Frame, FrameKind};
use protocol::ids::Digest;
use protocol::stream::{WeightPiece, WeightRequest};
use protocol::transport::{FrameReader, FrameWriter, TransportError};

use super::WeightStore;
use super::error::WeightStoreError;
use super::fetch::blocking;
use super::holder_stream;

/// Weights give way to activations that share the connection.
const PRIORITY: i32 = -1;
/// A stream without a request for that long is closed.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// A peer that takes no byte for that long is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// Chunks that one request may name.
const REQUEST_CHUNKS_MAX: u32 = 64;

/// Answers the requests of one stream, whose hello is answered already, until the peer ends it.
pub async fn serve(
    mut writer: FrameWriter,
    mut reader: FrameReader,
    store: Arc<WeightStore>,
) -> Result<(), TransportError> {
    writer.set_priority(PRIORITY);
    loop {
        let Ok(frame) = tokio::time::timeout(SILENCE_MAX, reader.recv()).await else {
            return Ok(());
        };
        let Some(frame) = frame? else { return Ok(()) };
        match frame.open(FrameKind::WeightRequest)? {
            WeightRequest::Blob { digest } => {
                let store = Arc::clone(&store);
                let found = blocking(move || store.blob(digest)).await;
                let piece = found.map(|blob| blob.map(|bytes| (WeightPiece::Blob, bytes)));
                send(&mut writer, piece).await?;
            }
            WeightRequest::Chunks { manifest, first, count } => {
                send_chunks(&mut writer, &store, manifest, first, count).await?;
            }
        }
    }
}

/// Stops at the first chunk that is not held.
async fn send_chunks(
    writer: &mut FrameWriter,
    store: &Arc<WeightStore>,
    manifest: Digest,
    first: u32,
    count: u32,
) -> Result<(), TransportError> {
    let end = first.saturating_add(count.min(REQUEST_CHUNKS_MAX));
    for index in first..end {
        let store = Arc::clone(store);
        let piece = blocking(move || {
            let bytes = store.model(manifest)?.read_chunk(index)?;
            Ok(Some((WeightPiece::Chunk { index }, bytes)))
        });
        if !send(writer, piece.await).await? {
            break;
        }
    }
    Ok(())
}

/// Sends a piece, or that it is not held; whatever stands behind that is logged here, as only this
/// node can mend it.
async fn send(
    writer: &mut FrameWriter,
    piece: Result<Option<(WeightPiece, Bytes)>, WeightStoreError>,
) -> Result<bool, TransportError> {
    let (piece, body, held) = match piece {
        Ok(Some((piece, body))) => (piece, body, true),
        Ok(None) => (WeightPiece::NotHeld, Bytes::new(), false),
        Err(error) => {
            tracing::warn!(%error, "weights asked for cannot be served");
            (WeightPiece::NotHeld, Bytes::new(), false)
        }
    };
    let frame = Frame { body, ..holder_stream::frame(FrameKind::WeightPiece, &piece)? };
    let (address, after) = ("the peer".to_owned(), SEND_TIMEOUT);
    tokio::time::timeout(after, writer.send(&frame))
        .await
        .map_err(|_| TransportError::TimedOut { address, after })??;
    Ok(held)
}
