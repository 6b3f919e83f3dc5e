//! AVX2 with FMA and F16C: a lane vector is two registers.

use std::arch::x86_64::*;

use super::{Lanes, operations};

pub(in crate::kernels) struct Avx2;

type Ints = [__m256i; 2];
type Floats = [__m256; 2];

impl Lanes for Avx2 {
    type Int = Ints;
    type Float = Floats;
    const RAISED: bool = false;

    operations! { "avx2,fma,f16c";
        fn load(at: *const u8) -> Ints = {
            // SAFETY: the caller's pointer is valid for 64 bytes.
            unsafe { [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(32).cast())] }
        };
        fn load_bytes(at: *const u8) -> Ints = {
            // SAFETY: the caller's pointer is valid for 16 bytes.
            let bytes = unsafe { load_128(at) };
            [_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes))]
        };
        fn prefetch(at: *const u8) = _mm_prefetch::<_MM_HINT_T0>(at.cast());
        fn splat(value: i32) -> Ints = [_mm256_set1_epi32(value); 2];
        fn and(a: Ints, b: Ints) -> Ints =
            [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])];
        fn or(a: Ints, b: Ints) -> Ints =
            [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])];
        fn xor(a: Ints, b: Ints) -> Ints =
            [_mm256_xor_si256(a[0], b[0]), _mm256_xor_si256(a[1], b[1])];
        fn add(a: Ints, b: Ints) -> Ints =
            [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])];
        fn sub(a: Ints, b: Ints) -> Ints =
            [_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])];
        fn mul(a: Ints, b: Ints) -> Ints =
            [_mm256_mullo_epi32(a[0], b[0]), _mm256_mullo_epi32(a[1], b[1])];
        fn shl16(a: Ints, bits: i32) -> Ints = {
            let bits = _mm_cvtsi32_si128(bits);
            [_mm256_sll_epi16(a[0], bits), _mm256_sll_epi16(a[1], bits)]
        };
        fn shr16(a: Ints, bits: i32) -> Ints = {
            let bits = _mm_cvtsi32_si128(bits);
            [_mm256_srl_epi16(a[0], bits), _mm256_srl_epi16(a[1], bits)]
        };
        fn sar16(a: Ints, bits: i32) -> Ints = {
            let bits = _mm_cvtsi32_si128(bits);
            [_mm256_sra_epi16(a[0], bits), _mm256_sra_epi16(a[1], bits)]
        };
        fn shl32(a: Ints, bits: i32) -> Ints = {
            let bits = _mm_cvtsi32_si128(bits);
            [_mm256_sll_epi32(a[0], bits), _mm256_sll_epi32(a[1], bits)]
        };
        fn shr32(a: Ints, bits: i32) -> Ints = {
            let bits = _mm_cvtsi32_si128(bits);
            [_mm256_srl_epi32(a[0], bits), _mm256_srl_epi32(a[1], bits)]
        };
        fn sar32(a: Ints, bits: i32) -> Ints = {
            let bits = _mm_cvtsi32_si128(bits);
            [_mm256_sra_epi32(a[0], bits), _mm256_sra_epi32(a[1], bits)]
        };
        fn lookup(table: &[u8; 16], codes: Ints) -> Ints = {
            // SAFETY: the table has the 16 bytes that are read.
            let table = unsafe { _mm_loadu_si128(table.as_ptr().cast()) };
            let table = _mm256_broadcastsi128_si256(table);
            [_mm256_shuffle_epi8(table, codes[0]), _mm256_shuffle_epi8(table, codes[1])]
        };
        fn dot(acc: Ints, codes: Ints, x: Ints) -> Ints =
            [dot_half(acc[0], codes[0], x[0]), dot_half(acc[1], codes[1], x[1])];
        fn dot_wide(acc: Ints, codes: Ints, x: Ints) -> Ints =
            [dot_wide_half(acc[0], codes[0], x[0]), dot_wide_half(acc[1], codes[1], x[1])];
        fn dot_pairs(acc: Ints, a: Ints, b: Ints) -> Ints = [
            _mm256_add_epi32(acc[0], _mm256_madd_epi16(a[0], b[0])),
            _mm256_add_epi32(acc[1], _mm256_madd_epi16(a[1], b[1])),
        ];

        fn to_float(a: Ints) -> Floats = [_mm256_cvtepi32_ps(a[0]), _mm256_cvtepi32_ps(a[1])];
        fn load_f32(at: *const f32) -> Floats = {
            // SAFETY: the caller's pointer is valid for 16 floats.
            unsafe { [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))] }
        };
        fn load_f16(at: *const u8) -> Floats = {
            // SAFETY: the caller's pointer is valid for 32 bytes.
            let (low, high) = unsafe { (load_128(at), load_128(at.add(16))) };
            [_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)]
        };
        fn load_bf16(at: *const u8) -> Floats = {
            // SAFETY: the caller's pointer is valid for 32 bytes.
            let (low, high) = unsafe { (load_128(at), load_128(at.add(16))) };
            [widen_bf16(low), widen_bf16(high)]
        };
        fn load_half_powers(at: *const u8) -> Floats = {
            // SAFETY: the caller's pointer is valid for 16 bytes.
            let bytes = unsafe { _mm_loadu_si128(at.cast()) };
            [half_powers(bytes), half_powers(_mm_srli_si128::<8>(bytes))]
        };
        fn load_e4m3(at: *const u8) -> Floats = {
            // SAFETY: the caller's pointer is valid for 16 bytes.
            let codes = _mm256_cvtepu8_epi16(unsafe { load_128(at) });
            // Exponent and mantissa of E4M3 are those of an f16 that is 256 times smaller.
            let sign = _mm256_slli_epi16::<8>(_mm256_and_si256(codes, _mm256_set1_epi16(0x80)));
            let rest = _mm256_slli_epi16::<7>(_mm256_and_si256(codes, _mm256_set1_epi16(0x7f)));
            let halves = _mm256_or_si256(sign, rest);
            [_mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
             _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(halves))]
        };
        fn splat_f32(value: f32) -> Floats = [_mm256_set1_ps(value); 2];
        fn mul_f32(a: Floats, b: Floats) -> Floats =
            [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])];
        fn add_f32(a: Floats, b: Floats) -> Floats =
            [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])];
        fn sub_f32(a: Floats, b: Floats) -> Floats =
            [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])];
        fn fma(a: Floats, b: Floats, c: Floats) -> Floats =
            [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])];
        fn fnma(a: Floats, b: Floats, c: Floats) -> Floats =
            [_mm256_fnmadd_ps(a[0], b[0], c[0]), _mm256_fnmadd_ps(a[1], b[1], c[1])];
        fn store(a: Floats, at: *mut f32) = {
            // SAFETY: the caller's pointer is valid for 16 floats.
            unsafe {
                _mm256_storeu_ps(at, a[0]);
                _mm256_storeu_ps(at.add(8), a[1]);
            }
        };
    }
}

/// # Safety
/// `at` is valid for 16 bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_128(at: *const u8) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe { _mm_loadu_si128(at.cast()) }
}

/// Codes of at most 127: a pair of products stays below 2 * 127 * 127, far from saturating i16.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_half(acc: __m256i, codes: __m256i, x: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(codes, x);
    _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

/// The sign moves over to `x`, which is never -128: a pair is at most 2 * 128 * 127 = 32512.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_wide_half(acc: __m256i, codes: __m256i, x: __m256i) -> __m256i {
    let signed = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
    dot_half(acc, _mm256_abs_epi8(signed), _mm256_sign_epi8(x, signed))
}

#[inline]
#[target_feature(enable = "avx2")]
fn widen_bf16(halves: __m128i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
}

/// Of the exponent 0 the half is subnormal, and so is the power.
#[inline]
#[target_feature(enable = "avx2")]
fn half_powers(bytes: __m128i) -> __m256 {
    let bits = _mm256_slli_epi32::<23>(_mm256_cvtepu8_epi32(bytes));
    let bits = _mm256_max_epi32(bits, _mm256_set1_epi32(1 << 22));
    _mm256_mul_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(0.5))
}
