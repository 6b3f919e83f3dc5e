//! Random blocks of every weight type, scaled to a wanted standard deviation.

use std::io::{self, Write};

use half::{bf16, f16};

use super::gguf_writer::TensorPlan;
use crate::weight_type::WeightType;

/// SplitMix64 (Steele, Lea, Flood 2014): tiny, and the same on every machine.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in -1 to 1.
    fn signed_unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let value = self.next().to_le_bytes();
            chunk.copy_from_slice(&value[..chunk.len()]);
        }
    }
}

/// Writes the values of `tensor` and returns their length in bytes.
pub(super) fn write(
    out: &mut impl Write,
    tensor: &TensorPlan,
    random: &mut Random,
) -> io::Result<u64> {
    let mut block = vec![0; tensor.kind.block_bytes() as usize];
    for _ in 0..tensor.blocks() {
        fill_block(&mut block, tensor, random);
        out.write_all(&block)?;
    }
    Ok(tensor.blocks() * tensor.kind.block_bytes())
}

fn fill_block(block: &mut [u8], tensor: &TensorPlan, random: &mut Random) {
    // A uniform value has this many standard deviations at its ends.
    const REACH: f32 = 1.732_050_8;
    let deviation = tensor.deviation;
    if !tensor.kind.is_quantised() {
        let value = tensor.mean + random.signed_unit() * deviation * REACH;
        match tensor.kind {
            WeightType::F16 => block.copy_from_slice(&f16::from_f32(value).to_le_bytes()),
            WeightType::BF16 => block.copy_from_slice(&bf16::from_f32(value).to_le_bytes()),
            _ => block.copy_from_slice(&value.to_le_bytes()),
        }
        return;
    }
    random.fill(block);
    let mut put = |offset: usize, value: f32| {
        block[offset..offset + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
    };
    // Divisors: the standard deviation of the format's random integers at scale 1. Where a minimum
    // is subtracted, its mean takes away the mean of scale times value.
    match tensor.kind {
        WeightType::Q8_0 => put(0, deviation / 73.9),
        WeightType::Q4_0 => put(0, deviation / 4.61),
        WeightType::Q5_0 => put(0, deviation / 9.23),
        WeightType::Iq4Nl => put(0, deviation / 67.3),
        WeightType::Q4_1 => {
            put(0, deviation / 4.61);
            put(2, -7.5 * deviation / 4.61);
        }
        WeightType::Q5_1 => {
            put(0, deviation / 9.23);
            put(2, -15.5 * deviation / 9.23);
        }
        WeightType::Q2K => {
            put(80, deviation / 13.9);
            put(82, 1.5 * deviation / 13.9);
        }
        WeightType::Q3K => put(108, deviation / 43.4),
        WeightType::Q4K => {
            put(0, deviation / 257.0);
            put(2, 7.5 * deviation / 257.0);
        }
        WeightType::Q5K => {
            put(0, deviation / 528.0);
            put(2, 15.5 * deviation / 528.0);
        }
        WeightType::Iq4Xs => put(0, deviation / 1249.0),
        // Only powers of two: the next below.
        WeightType::Mxfp4 => block[0] = (128.0 + (deviation / 5.86).log2()).clamp(2.0, 250.0) as u8,
        _ => put(208, deviation / 1365.0),
    }
}
