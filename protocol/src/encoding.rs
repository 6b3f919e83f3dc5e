//! The binary encoding of frame metadata: wincode (bincode 1's byte format) with both limits set.

use wincode::config::Configuration;
use wincode::int_encoding::{FixInt, LittleEndian};
use wincode::len::BincodeLen;
use wincode::{SchemaRead, SchemaWrite};

use crate::error::ProtocolError;
use crate::limits::BLOB_BYTES_MAX;

const LIMIT: usize = BLOB_BYTES_MAX as usize;

/// The one configuration of every encoded value; part of the wire format.
pub type Wire = Configuration<true, LIMIT, BincodeLen, LittleEndian, FixInt, u32, LIMIT>;

const WIRE: Wire =
    Configuration::default().with_preallocation_size_limit().with_deserialization_size_limit();

/// Encodes `value`; `what` names it in an error.
pub fn encode<T>(what: &'static str, value: &T) -> Result<Vec<u8>, ProtocolError>
where
    T: SchemaWrite<Wire, Src = T>,
{
    wincode::config::serialize(value, WIRE)
        .map_err(|e| ProtocolError::NotEncodable { what, reason: e.to_string() })
}

/// Decodes exactly `bytes`: a trailing byte, or a length over the limit, is an error.
pub fn decode<'de, T>(what: &'static str, bytes: &'de [u8]) -> Result<T, ProtocolError>
where
    T: SchemaRead<'de, Wire, Dst = T>,
{
    wincode::config::deserialize_exact(bytes, WIRE)
        .map_err(|e| ProtocolError::Malformed { what, reason: e.to_string() })
}
