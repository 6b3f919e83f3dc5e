//! Arrays of weight values read from a file straight into the memory they stay in.

use candle_core::quantized::k_quants::{BlockQ4_0, BlockQ4K, BlockQ5_0, BlockQ6K, BlockQ8_0};
use half::{bf16, f16};

use super::source::WeightSource;
use crate::error::EngineError;
use checkpoint::TensorEntry;

/// Bytes per read: large enough for the disk, small enough that progress and cancellation show.
const PIECE_BYTES: usize = 1 << 20;

/// Values that may be filled from a file's bytes.
///
/// # Safety
/// Every bit pattern is a valid value, and there is no padding.
pub(crate) unsafe trait PlainBytes: Clone + Send + Sync + 'static {
    const ZERO: Self;
}

macro_rules! plain_bytes {
    ($($type:ty = $bytes:literal),*) => {$(
        // SAFETY: made of integers and floating-point numbers only; the size, checked below, is the
        // sum of its fields, so there is no padding.
        unsafe impl PlainBytes for $type {
            // SAFETY: all zero bits are a valid value of such a type.
            const ZERO: Self = unsafe { std::mem::zeroed() };
        }
        const _: () = assert!(size_of::<$type>() == $bytes);
    )*};
}

plain_bytes!(
    u8 = 1,
    f32 = 4,
    f16 = 2,
    bf16 = 2,
    BlockQ8_0 = 34,
    BlockQ4_0 = 18,
    BlockQ5_0 = 22,
    BlockQ4K = 144,
    BlockQ6K = 210
);

/// Reads a whole tensor of `T`; `progress` gets the bytes of each piece.
pub(crate) fn read_blocks<T: PlainBytes>(
    entry: &TensorEntry,
    source: &dyn WeightSource,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<T>, EngineError> {
    let count = entry.bytes as usize / size_of::<T>();
    let mut blocks = Vec::new();
    blocks
        .try_reserve_exact(count)
        .map_err(|_| EngineError::OutOfMemory { what: "weights", bytes: entry.bytes })?;
    blocks.resize(count, T::ZERO);
    let mut offset = entry.offset;
    for piece in bytes_mut(&mut blocks).chunks_mut(PIECE_BYTES) {
        source.read_at(entry.file, offset, piece).map_err(|source| EngineError::Read {
            name: entry.name.clone(),
            file: entry.file,
            offset,
            source,
        })?;
        offset += piece.len() as u64;
        progress(piece.len() as u64);
    }
    Ok(blocks)
}

/// The stored bytes of `blocks`.
pub(super) fn bytes<T: PlainBytes>(blocks: &[T]) -> &[u8] {
    // SAFETY: initialised memory, `u8` has no alignment, and `PlainBytes` promises no padding.
    unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), size_of_val(blocks)) }
}

fn bytes_mut<T: PlainBytes>(blocks: &mut [T]) -> &mut [u8] {
    let bytes = size_of_val(blocks);
    // SAFETY: the slice is exclusively borrowed and initialised, `u8` has no alignment, and
    // `PlainBytes` promises that there is no padding and that any bytes written are valid values.
    unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), bytes) }
}
