//! gRPC services generated from `proto/cluster.proto`, and JSON in and out of their envelopes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ProtocolError;

#[allow(unreachable_pub, unused_qualifications, elided_lifetimes_in_paths, clippy::all)]
mod generated {
    tonic::include_proto!("trireme.v1");
}

pub use generated::*;

/// Largest gRPC message a node accepts.
pub const ENVELOPE_BYTES_MAX: usize = 32 << 20;

impl Envelope {
    pub fn pack<T: Serialize>(what: &'static str, value: &T) -> Result<Self, ProtocolError> {
        let payload = serde_json::to_vec(value)
            .map_err(|e| ProtocolError::NotEncodable { what, reason: e.to_string() })?;
        Ok(Self { payload })
    }

    pub fn unpack<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, ProtocolError> {
        serde_json::from_slice(&self.payload)
            .map_err(|e| ProtocolError::Malformed { what, reason: e.to_string() })
    }
}
