//! Conversions between f32 and the two 16-bit types, rounding to nearest even.

use half::f16;

widened! {
    /// Rounds each value to the nearest that bf16 can hold.
    fn round_to_bf16(x: &mut [f32]) = round_body
}

/// `out[i] = x[i]`
pub(crate) fn f16_to_f32(x: &[f16], out: &mut [f32]) {
    let out = &mut out[..x.len()];
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("f16c") {
        // SAFETY: the CPU has F16C and therefore AVX.
        unsafe { f16_to_f32_f16c(x, out) };
        return;
    }
    for (out, x) in out.iter_mut().zip(x) {
        *out = x.to_f32();
    }
}

/// `out[i] = x[i]`, rounded.
pub(crate) fn f32_to_f16(x: &[f32], out: &mut [f16]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = f16::from_f32(*x);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn f16_to_f32_f16c(x: &[f16], out: &mut [f32]) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let (x_chunks, x_tail) = x.as_chunks::<8>();
    let (out_chunks, out_tail) = out.as_chunks_mut::<8>();
    for (x, out) in x_chunks.iter().zip(out_chunks) {
        // SAFETY: both arrays have eight elements, 16 and 32 bytes; neither access is aligned.
        unsafe {
            _mm256_storeu_ps(out.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast())))
        };
    }
    for (out, x) in out_tail.iter_mut().zip(x_tail) {
        *out = x.to_f32();
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
    use half::bf16;

    use super::*;

    #[test]
    fn every_f16_converts_as_the_reference_does() {
        let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        let mut out = vec![0.0; all.len()];
        f16_to_f32(&all, &mut out);
        for (x, out) in all.iter().zip(&out) {
            assert!(x.to_f32().to_bits() == out.to_bits() || (x.is_nan() && out.is_nan()));
        }
    }

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
