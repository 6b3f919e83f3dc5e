//! Blocks whose 4-bit codes point into a table of 16 uneven steps.

use super::half_at;
use super::small_blocks::nibbles;

/// The steps of IQ4_NL and IQ4_XS (`kvalues_iq4nl` in ggml).
const UNEVEN: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Twice the values of an E2M1 float (OCP Microscaling Formats 1.0), so that they are whole.
const DOUBLED_E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// f16 scale, 32 nibbles.
pub(super) fn iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    nibbles(&block[2..], |i, code| out[i] = scale * f32::from(UNEVEN[usize::from(code)]));
}

/// f16 scale, 8 6-bit scales (2 upper bits each in a u16, then nibbles), 256 nibbles.
pub(super) fn iq4_xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let scale = half_at(block, 0);
    let upper = u16::from_le_bytes([block[2], block[3]]);
    for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let low = block[4 + sub / 2] >> (4 * (sub % 2)) & 15;
        let high = (upper >> (2 * sub) & 3) as u8;
        let scale = scale * f32::from((low | high << 4) as i8 - 32);
        let codes = &block[8 + 16 * sub..24 + 16 * sub];
        nibbles(codes, |i, code| out[i] = scale * f32::from(UNEVEN[usize::from(code)]));
    }
}

/// Power of two (E8M0), 32 nibbles.
pub(super) fn mxfp4(block: &[u8; 17], out: &mut [f32; 32]) {
    let scale = half_power(block[0]);
    nibbles(&block[1..], |i, code| out[i] = scale * f32::from(DOUBLED_E2M1[usize::from(code)]));
}

/// Half of 2^(exponent - 127); the two smallest are subnormal.
fn half_power(exponent: u8) -> f32 {
    let exponent = u32::from(exponent);
    f32::from_bits(if exponent < 2 { 0x0020_0000 << exponent } else { (exponent - 1) << 23 })
}
