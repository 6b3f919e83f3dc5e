//! Blocks of 32 values with one f16 scale, and one f16 minimum in the `_1` formats.

use super::half_at;

/// f16 scale, 32 signed bytes.
pub(super) fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    for (out, code) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(*code as i8) * scale;
    }
}

/// f16 scale, 32 nibbles: value 0 is stored as 8.
pub(super) fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    nibbles(&block[2..], |i, code| out[i] = scale * f32::from(code as i8 - 8));
}

/// f16 scale, f16 minimum, 32 nibbles.
pub(super) fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    nibbles(&block[4..], |i, code| out[i] = scale * f32::from(code) + minimum);
}

/// f16 scale, 32 fifth bits, 32 nibbles: value 0 is stored as 16.
pub(super) fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    nibbles(&block[6..], |i, code| {
        out[i] = scale * f32::from((code | fifth_bit(&block[2..6], i)) as i8 - 16);
    });
}

/// f16 scale, f16 minimum, 32 fifth bits, 32 nibbles.
pub(super) fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    nibbles(&block[8..], |i, code| {
        out[i] = scale * f32::from(code | fifth_bit(&block[4..8], i)) + minimum;
    });
}

/// Calls `put(index, nibble)`: the low nibbles come first, the high ones behind all of them.
pub(super) fn nibbles(codes: &[u8], mut put: impl FnMut(usize, u8)) {
    for (i, code) in codes.iter().enumerate() {
        put(i, code & 15);
        put(i + codes.len(), code >> 4);
    }
}

fn fifth_bit(bits: &[u8], i: usize) -> u8 {
    (bits[i / 8] >> (i % 8) & 1) << 4
}
