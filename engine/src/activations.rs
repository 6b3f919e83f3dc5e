//! Hidden rows as the raw little-endian values that cross a wire.

use protocol::plan::ActivationType;

use crate::error::EngineError;

/// Writes `hidden`, already rounded to `element`, to the front of `wire` and returns that part.
pub(crate) fn encode<'a>(hidden: &[f32], element: ActivationType, wire: &'a mut [u8]) -> &'a [u8] {
    let wire = &mut wire[..hidden.len() * element.bytes()];
    match element {
        ActivationType::F32 => {
            for (out, x) in wire.as_chunks_mut::<4>().0.iter_mut().zip(hidden) {
                *out = x.to_le_bytes();
            }
        }
        ActivationType::Bf16 => {
            for (out, x) in wire.as_chunks_mut::<2>().0.iter_mut().zip(hidden) {
                *out = ((x.to_bits() >> 16) as u16).to_le_bytes();
            }
        }
    }
    wire
}

/// Fills `hidden` from a peer's bytes, which must have exactly its length.
pub(crate) fn decode(
    bytes: &[u8],
    element: ActivationType,
    hidden: &mut [f32],
) -> Result<(), EngineError> {
    let expected = hidden.len() * element.bytes();
    if bytes.len() != expected {
        return Err(EngineError::BadActivations { found: bytes.len(), expected });
    }
    match element {
        ActivationType::F32 => {
            for (x, bytes) in hidden.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *x = f32::from_le_bytes(*bytes);
            }
        }
        ActivationType::Bf16 => {
            for (x, bytes) in hidden.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *x = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
            }
        }
    }
    Ok(())
}
