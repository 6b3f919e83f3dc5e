//! Groups of 4-bit codes around a zero of their own.

use super::half_at;

/// f16 scale, the code that stands for zero, nibbles: of each 32 columns in 16 bytes, column i low
/// and column i + 16 high.
pub(super) fn int4<const BYTES: usize, const VALUES: usize>(
    block: &[u8; BYTES],
    out: &mut [f32; VALUES],
) {
    let (scale, zero) = (half_at(block, 0), f32::from(block[2] & 15));
    let parts = block[3..].as_chunks::<16>().0.iter().zip(out.as_chunks_mut::<32>().0);
    for (codes, out) in parts {
        for (i, byte) in codes.iter().enumerate() {
            out[i] = scale * (f32::from(byte & 15) - zero);
            out[i + 16] = scale * (f32::from(byte >> 4) - zero);
        }
    }
}
