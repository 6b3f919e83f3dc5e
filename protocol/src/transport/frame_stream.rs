//! Whole frames over a QUIC stream: sent without a copy of the body, read into one buffer.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, VarInt};
use tokio::io::AsyncReadExt;

use super::error::TransportError;
use crate::error::ProtocolError;
use crate::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader};

/// Sends frames. Dropping it finishes the stream.
pub struct FrameWriter {
    stream: SendStream,
}

impl FrameWriter {
    pub fn new(stream: SendStream) -> Self {
        Self { stream }
    }

    /// Hands one frame to the connection; waits while the peer's window or ours is full. Not
    /// cancel-safe: a frame given up in its middle leaves the stream unusable.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), TransportError> {
        let mut parts = [frame.encode_head(), frame.body.clone()];
        Ok(self.stream.write_all_chunks(&mut parts).await?)
    }

    /// Higher goes first when the connection is short of bandwidth; 0 is the default.
    pub fn set_priority(&self, priority: i32) {
        // Fails on a closed stream only, where the next send says so.
        let _ = self.stream.set_priority(priority);
    }

    /// The stream itself, for bytes that are no frames.
    pub fn into_stream(self) -> SendStream {
        self.stream
    }

    /// No more frames; what was sent still arrives.
    pub fn finish(&mut self) {
        let _ = self.stream.finish();
    }

    /// Gives the stream up: the peer reads an error, not an end.
    pub fn reset(&mut self, code: u32) {
        let _ = self.stream.reset(VarInt::from_u32(code));
    }

    /// Waits until the peer has read everything after `finish`, or stopped reading.
    pub async fn stopped(&mut self) {
        let _ = self.stream.stopped().await;
    }
}

/// Reads frames; `recv` may be cancelled and called again without losing a byte.
pub struct FrameReader {
    stream: RecvStream,
    header: Option<FrameHeader>,
    buffer: BytesMut,
}

impl FrameReader {
    pub fn new(stream: RecvStream) -> Self {
        Self { stream, header: None, buffer: BytesMut::new() }
    }

    /// The next frame, its checksum verified; `None` when the peer finished between two frames.
    /// Waits without a deadline: that is the caller's.
    pub async fn recv(&mut self) -> Result<Option<Frame>, TransportError> {
        let header = match self.header {
            Some(header) => header,
            None => {
                if !self.fill(FRAME_HEADER_BYTES).await? {
                    return Ok(None);
                }
                let bytes = self.buffer.first_chunk().ok_or(ProtocolError::Truncated)?;
                let header = FrameHeader::parse(bytes)?;
                self.buffer.advance(FRAME_HEADER_BYTES);
                self.header = Some(header);
                header
            }
        };
        if !self.fill(header.payload_bytes()).await? {
            return Err(ProtocolError::Truncated.into());
        }
        self.header = None;
        let payload = self.buffer.split_to(header.payload_bytes()).freeze();
        Ok(Some(header.finish(payload)?))
    }

    /// The stream itself, for bytes that are no frames: between two frames nothing is read ahead.
    pub fn into_stream(self) -> RecvStream {
        self.stream
    }

    /// Tells the peer to send no more.
    pub fn stop(&mut self, code: u32) {
        let _ = self.stream.stop(VarInt::from_u32(code));
    }

    /// Reads until the buffer holds exactly `wanted` bytes; false at an end before the first one.
    async fn fill(&mut self, wanted: usize) -> Result<bool, TransportError> {
        self.buffer.reserve(wanted.saturating_sub(self.buffer.len()));
        while self.buffer.len() < wanted {
            let missing = wanted - self.buffer.len();
            let mut room = (&mut self.buffer).limit(missing);
            match self.stream.read_buf(&mut room).await {
                Ok(0) if self.buffer.is_empty() => return Ok(false),
                Ok(0) => return Err(ProtocolError::Truncated.into()),
                Ok(_) => {}
                Err(error) => return Err(read_error(error)),
            }
        }
        Ok(true)
    }
}

fn read_error(error: io::Error) -> TransportError {
    match error.downcast::<ReadError>() {
        Ok(error) => error.into(),
        Err(error) => error.into(),
    }
}
