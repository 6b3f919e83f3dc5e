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

/// Reads the messages of a stream, and passes over those that only a newer version knows; it warns
/// of the first.
#[derive(Debug, Default)]
pub struct MessageReader {
    warned: bool,
}

impl MessageReader {
    pub fn read<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        envelope: &Envelope,
    ) -> Option<T> {
        let read = envelope.unpack(what);
        if let Err(error) = &read
            && !std::mem::replace(&mut self.warned, true)
        {
            tracing::warn!(%error, "passed over a message that this version does not know");
        }
        read.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::CoordinatorMessage;

    #[test]
    fn what_only_a_newer_version_knows_is_passed_over() {
        let mut reader = MessageReader::default();
        let mut read = |text: &str| {
            let envelope = Envelope { payload: text.as_bytes().to_vec() };
            reader.read::<CoordinatorMessage>("CoordinatorMessage", &envelope)
        };
        assert_eq!(read(r#"{"type":"of_a_later_version","things":[1]}"#), None);
        assert_eq!(read(r#"{"type":"ask","id":1,"question":{"type":"of_a_later_version"}}"#), None);
        assert_eq!(read(r#"{"type":"removed"}"#), Some(CoordinatorMessage::Removed));
    }
}
