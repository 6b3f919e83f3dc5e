//! The values that stored blocks stand for: plain, one loop per format, the reference of all
//! faster code.
//!
//! Each result has the bits that the `gguf` Python package computes, so scales are multiplied
//! first and nothing is fused.

mod codebook_blocks;
mod float8;
mod grouped_nibbles;
mod k_blocks;
mod small_blocks;

#[cfg(test)]
mod tests;

use checkpoint::WeightType;
use half::{bf16, f16};

/// Writes the values of `blocks`, whole blocks of `weight`, to `out`: as many as they hold.
pub fn dequantise(weight: WeightType, blocks: &[u8], out: &mut [f32]) {
    match weight {
        WeightType::F32 => {
            each(blocks, out, |raw: &[u8; 4], out: &mut [f32; 1]| out[0] = f32::from_le_bytes(*raw))
        }
        WeightType::F16 => {
            each(blocks, out, |raw: &[u8; 2], out: &mut [f32; 1]| out[0] = half_at(raw, 0))
        }
        WeightType::BF16 => each(blocks, out, |raw: &[u8; 2], out: &mut [f32; 1]| {
            out[0] = bf16::from_le_bytes(*raw).to_f32();
        }),
        WeightType::Q8_0 => each(blocks, out, small_blocks::q8_0),
        WeightType::Q4_0 => each(blocks, out, small_blocks::q4_0),
        WeightType::Q4_1 => each(blocks, out, small_blocks::q4_1),
        WeightType::Q5_0 => each(blocks, out, small_blocks::q5_0),
        WeightType::Q5_1 => each(blocks, out, small_blocks::q5_1),
        WeightType::Q2K => each(blocks, out, k_blocks::q2_k),
        WeightType::Q3K => each(blocks, out, k_blocks::q3_k),
        WeightType::Q4K => each(blocks, out, k_blocks::q4_k),
        WeightType::Q5K => each(blocks, out, k_blocks::q5_k),
        WeightType::Q6K => each(blocks, out, k_blocks::q6_k),
        WeightType::Iq4Nl => each(blocks, out, codebook_blocks::iq4_nl),
        WeightType::Iq4Xs => each(blocks, out, codebook_blocks::iq4_xs),
        WeightType::Mxfp4 => each(blocks, out, codebook_blocks::mxfp4),
        WeightType::F8x128 => each(blocks, out, float8::f8_128),
        WeightType::Int4x32 => each(blocks, out, grouped_nibbles::int4::<19, 32>),
        WeightType::Int4x64 => each(blocks, out, grouped_nibbles::int4::<35, 64>),
        WeightType::Int4x128 => each(blocks, out, grouped_nibbles::int4::<67, 128>),
        WeightType::U8 | WeightType::F8E4M3 | WeightType::I32 => {
            unreachable!("a part of a matrix stands for no values")
        }
    }
}

/// Calls `widen` with each block of `BYTES` bytes and the place of its `VALUES` values.
fn each<const BYTES: usize, const VALUES: usize>(
    blocks: &[u8],
    out: &mut [f32],
    widen: impl Fn(&[u8; BYTES], &mut [f32; VALUES]),
) {
    let (blocks, out) = (blocks.as_chunks::<BYTES>().0, out.as_chunks_mut::<VALUES>().0);
    for (block, out) in blocks.iter().zip(out) {
        widen(block, out);
    }
}

/// The f16 at byte `offset`.
fn half_at<const BYTES: usize>(block: &[u8; BYTES], offset: usize) -> f32 {
    f16::from_le_bytes([block[offset], block[offset + 1]]).to_f32()
}
