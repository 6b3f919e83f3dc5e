//! The frame codec of every QUIC stream between nodes: fixed header, metadata, raw bytes. No I/O.
//!
//! ```text
//! offset  size  field
//!      0     4  magic "TRF1", little-endian like every number here
//!      4     2  version
//!      6     2  kind
//!      8     8  replica (0 where a frame belongs to none)
//!     16     8  epoch   (0 likewise)
//!     24     4  metadata length in bytes
//!     28     4  body length in bytes
//!     32     4  CRC-32 of bytes 0..32, metadata and body
//!     36     -  metadata (wincode), then body (raw tensor or weight bytes)
//! ```

use bytes::{Bytes, BytesMut};
use wincode::{SchemaRead, SchemaWrite};

use crate::encoding::{self, Wire};
use crate::error::ProtocolError;
use crate::ids::{Epoch, ReplicaId};
use crate::limits::{FRAME_BODY_BYTES_MAX, FRAME_META_BYTES_MAX};

pub const FRAME_HEADER_BYTES: usize = 36;
pub const FRAME_VERSION: u16 = 1;
const MAGIC: u32 = u32::from_le_bytes(*b"TRF1");
const CHECKED_BYTES: usize = 32;

macro_rules! frame_kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What a frame carries; a closed list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum FrameKind {
            $($(#[$doc])* $name = $code,)*
        }

        impl FrameKind {
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

frame_kinds! {
    /// `StreamHello`: the first frame of every stream, says what the stream is for.
    Hello = 1,
    /// `StreamAnswer`: the accepting side's reply to a hello.
    Answer = 2,
    /// `ActivationHeader` and activations.
    Step = 3,
    /// `StepResult`.
    StepResult = 4,
    /// `GenerateRequest`.
    Generate = 5,
    /// `GenerateEvent`.
    GenerateEvent = 6,
    /// No metadata: the gateway gives the sequence up.
    Cancel = 7,
    /// `WeightRequest`.
    WeightRequest = 8,
    /// `WeightPiece` and its bytes.
    WeightPiece = 9,
    /// Echoed back as it came: link probe.
    Probe = 10,
    /// `LinkWire`.
    LinkWire = 11,
}

/// The fixed part, checked for magic, version, kind and lengths, not yet for its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    pub kind: FrameKind,
    pub replica: ReplicaId,
    pub epoch: Epoch,
    pub meta_bytes: u32,
    pub body_bytes: u32,
    checksum: u32,
    head_crc: u32,
}

/// A whole frame whose checksum holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: FrameKind,
    pub replica: ReplicaId,
    pub epoch: Epoch,
    pub meta: Bytes,
    pub body: Bytes,
}

impl Frame {
    /// A frame of `kind` with `meta` encoded, and no body.
    pub fn new<T>(
        kind: FrameKind,
        replica: ReplicaId,
        epoch: Epoch,
        meta: &T,
    ) -> Result<Self, ProtocolError>
    where
        T: SchemaWrite<Wire, Src = T>,
    {
        Self::with_body(kind, replica, epoch, meta, Bytes::new())
    }

    pub fn with_body<T>(
        kind: FrameKind,
        replica: ReplicaId,
        epoch: Epoch,
        meta: &T,
        body: Bytes,
    ) -> Result<Self, ProtocolError>
    where
        T: SchemaWrite<Wire, Src = T>,
    {
        let meta = Bytes::from(encoding::encode(kind.name(), meta)?);
        check_length("metadata", meta.len() as u64, FRAME_META_BYTES_MAX)?;
        check_length("body", body.len() as u64, FRAME_BODY_BYTES_MAX)?;
        Ok(Self { kind, replica, epoch, meta, body })
    }

    /// Header and metadata in one buffer; the body is sent after it without a copy.
    pub fn encode_head(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(FRAME_HEADER_BYTES + self.meta.len());
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&FRAME_VERSION.to_le_bytes());
        out.extend_from_slice(&(self.kind as u16).to_le_bytes());
        out.extend_from_slice(&self.replica.0.to_le_bytes());
        out.extend_from_slice(&self.epoch.0.to_le_bytes());
        out.extend_from_slice(&(self.meta.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.body.len() as u32).to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&out);
        crc.update(&self.meta);
        crc.update(&self.body);
        out.extend_from_slice(&crc.finalize().to_le_bytes());
        out.extend_from_slice(&self.meta);
        out.freeze()
    }

    /// Decodes the metadata of a frame that must be of `kind`.
    pub fn open<'a, T>(&'a self, kind: FrameKind) -> Result<T, ProtocolError>
    where
        T: SchemaRead<'a, Wire, Dst = T>,
    {
        if self.kind != kind {
            let (found, expected) = (self.kind.name(), kind.name());
            return Err(ProtocolError::UnexpectedKind { found, expected });
        }
        encoding::decode(kind.name(), &self.meta)
    }
}

impl FrameHeader {
    pub fn parse(bytes: &[u8; FRAME_HEADER_BYTES]) -> Result<Self, ProtocolError> {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | (u32::from(u16_at(at + 2)) << 16);
        let u64_at = |at: usize| u64::from(u32_at(at)) | (u64::from(u32_at(at + 4)) << 32);
        if u32_at(0) != MAGIC {
            return Err(ProtocolError::BadMagic { found: u32_at(0), expected: MAGIC });
        }
        if u16_at(4) != FRAME_VERSION {
            return Err(ProtocolError::BadVersion { found: u16_at(4), expected: FRAME_VERSION });
        }
        let kind = FrameKind::from_code(u16_at(6)).ok_or(ProtocolError::UnknownKind(u16_at(6)))?;
        check_length("metadata", u32_at(24).into(), FRAME_META_BYTES_MAX)?;
        check_length("body", u32_at(28).into(), FRAME_BODY_BYTES_MAX)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes[..CHECKED_BYTES]);
        Ok(Self {
            kind,
            replica: ReplicaId(u64_at(8)),
            epoch: Epoch(u64_at(16)),
            meta_bytes: u32_at(24),
            body_bytes: u32_at(28),
            checksum: u32_at(32),
            head_crc: crc.finalize(),
        })
    }

    /// Bytes that follow the header: metadata, then body.
    pub fn payload_bytes(&self) -> usize {
        self.meta_bytes as usize + self.body_bytes as usize
    }

    /// Completes a frame from the bytes that followed the header.
    pub fn finish(self, mut payload: Bytes) -> Result<Frame, ProtocolError> {
        if payload.len() != self.payload_bytes() {
            return Err(ProtocolError::Truncated);
        }
        let mut crc = crc32fast::Hasher::new_with_initial(self.head_crc);
        crc.update(&payload);
        let expected = crc.finalize();
        if expected != self.checksum {
            return Err(ProtocolError::BadChecksum { found: self.checksum, expected });
        }
        let meta = payload.split_to(self.meta_bytes as usize);
        let Self { kind, replica, epoch, .. } = self;
        Ok(Frame { kind, replica, epoch, meta, body: payload })
    }
}

fn check_length(part: &'static str, bytes: u64, limit: u32) -> Result<(), ProtocolError> {
    let limit = u64::from(limit);
    if bytes > limit { Err(ProtocolError::TooLarge { part, bytes, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::generate::GenerateEvent;

    fn decode(bytes: &[u8]) -> Result<Frame, ProtocolError> {
        let head = bytes.first_chunk().ok_or(ProtocolError::Truncated)?;
        FrameHeader::parse(head)?.finish(Bytes::copy_from_slice(&bytes[FRAME_HEADER_BYTES..]))
    }

    fn sample() -> Vec<u8> {
        let body = Bytes::from_static(b"activations");
        let event = GenerateEvent::Accepted;
        let frame =
            Frame::with_body(FrameKind::GenerateEvent, ReplicaId(7), Epoch(42), &event, body);
        let frame = frame.expect("small");
        let mut bytes = frame.encode_head().to_vec();
        bytes.extend_from_slice(&frame.body);
        bytes
    }

    #[test]
    fn a_frame_reads_back() {
        let frame = decode(&sample()).expect("valid");
        assert_eq!((frame.replica, frame.epoch), (ReplicaId(7), Epoch(42)));
        assert_eq!(
            frame.open::<GenerateEvent>(FrameKind::GenerateEvent).ok(),
            Some(GenerateEvent::Accepted)
        );
        assert_eq!(&frame.body[..], b"activations");
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = sample();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn random_metadata_never_panics(meta in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = encoding::decode::<crate::step_batch::StepBatch>("StepBatch", &meta);
        }
    }
}
