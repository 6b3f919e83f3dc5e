//! Conversions between f32 and the two 16-bit types, rounding to nearest even.

use half::{bf16, f16};

widened! {
    /// Rounds each value to the nearest that bf16 can hold.
    fn round_to_bf16(x: &mut [f32]) = round_body
}

/// `out[i] = x[i]`, rounded.
pub(crate) fn f32_to_f16(x: &[f32], out: &mut [f16]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = f16::from_f32(*x);
    }
}

/// `out[i] = x[i]`, rounded.
pub(crate) fn f32_to_bf16(x: &[f32], out: &mut [bf16]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = bf16::from_f32(*x);
    }
}

#[inline(always)]
fn round_body(x: &mut [f32]) {
    for x in x {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000;
        // A NaN's payload must not carry over into infinity.
        let quiet = (bits | 0x0040_0000) & 0xffff_0000;
        *x = f32::from_bits(if x.is_nan() { quiet } else { rounded });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_to_bf16_agrees_with_the_reference() {
        for bits in (0..=u32::MAX).step_by(65_521) {
            let mut x = [f32::from_bits(bits)];
            let expected = bf16::from_f32(x[0]).to_f32();
            round_to_bf16(&mut x);
            assert!(x[0].to_bits() == expected.to_bits() || (x[0].is_nan() && expected.is_nan()));
        }
    }
}
