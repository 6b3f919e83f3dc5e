//! AVX-512 with VNNI: a lane vector is one register.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{Lanes, operations};

pub(in crate::kernels) struct Avx512;

impl Lanes for Avx512 {
    type Int = __m512i;
    type Float = __m512;
    const RAISED: bool = true;

    operations! { "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni";
        // SAFETY: the caller's pointer is valid for 64 bytes.
        fn load(at: *const u8) -> __m512i = unsafe { _mm512_loadu_si512(at.cast()) };
        fn load_bytes(at: *const u8) -> __m512i = {
            // SAFETY: the caller's pointer is valid for 16 bytes.
            _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(at.cast()) })
        };
        fn prefetch(at: *const u8) = _mm_prefetch::<_MM_HINT_T0>(at.cast());
        fn splat(value: i32) -> __m512i = _mm512_set1_epi32(value);
        fn and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        fn or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        fn xor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        fn add(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        fn sub(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        fn mul(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
        fn shl16(a: __m512i, bits: i32) -> __m512i = _mm512_sll_epi16(a, _mm_cvtsi32_si128(bits));
        fn shr16(a: __m512i, bits: i32) -> __m512i = _mm512_srl_epi16(a, _mm_cvtsi32_si128(bits));
        fn sar16(a: __m512i, bits: i32) -> __m512i = _mm512_sra_epi16(a, _mm_cvtsi32_si128(bits));
        fn shl32(a: __m512i, bits: i32) -> __m512i = _mm512_sll_epi32(a, _mm_cvtsi32_si128(bits));
        fn shr32(a: __m512i, bits: i32) -> __m512i = _mm512_srl_epi32(a, _mm_cvtsi32_si128(bits));
        fn sar32(a: __m512i, bits: i32) -> __m512i = _mm512_sra_epi32(a, _mm_cvtsi32_si128(bits));
        fn lookup(table: &[u8; 16], codes: __m512i) -> __m512i = {
            // SAFETY: the table has the 16 bytes that are read.
            let table = unsafe { _mm_loadu_si128(table.as_ptr().cast()) };
            _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), codes)
        };
        fn dot(acc: __m512i, codes: __m512i, x: __m512i) -> __m512i =
            _mm512_dpbusd_epi32(acc, codes, x);
        fn dot_wide(acc: __m512i, codes: __m512i, x: __m512i) -> __m512i =
            _mm512_dpbusd_epi32(acc, codes, x);
        fn dot_pairs(acc: __m512i, a: __m512i, b: __m512i) -> __m512i = dot_pairs_of(acc, a, b);

        fn to_float(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        // SAFETY: the caller's pointer is valid for 16 floats.
        fn load_f32(at: *const f32) -> __m512 = unsafe { _mm512_loadu_ps(at) };
        fn load_f16(at: *const u8) -> __m512 = {
            // SAFETY: the caller's pointer is valid for 32 bytes.
            _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(at.cast()) })
        };
        fn load_bf16(at: *const u8) -> __m512 = {
            // SAFETY: the caller's pointer is valid for 32 bytes.
            let halves = unsafe { _mm256_loadu_si256(at.cast()) };
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
        };
        fn load_half_powers(at: *const u8) -> __m512 = {
            // SAFETY: the caller's pointer is valid for 16 bytes.
            let bytes = _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(at.cast()) });
            // Of the exponent 0 the half is subnormal, and so is the power.
            let bits = _mm512_max_epi32(_mm512_slli_epi32::<23>(bytes), _mm512_set1_epi32(1 << 22));
            _mm512_mul_ps(_mm512_castsi512_ps(bits), _mm512_set1_ps(0.5))
        };
        fn load_e4m3(at: *const u8) -> __m512 = {
            // SAFETY: the caller's pointer is valid for 16 bytes.
            let codes = _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(at.cast()) });
            // Exponent and mantissa of E4M3 are those of an f16 that is 256 times smaller.
            let sign = _mm256_slli_epi16::<8>(_mm256_and_si256(codes, _mm256_set1_epi16(0x80)));
            let rest = _mm256_slli_epi16::<7>(_mm256_and_si256(codes, _mm256_set1_epi16(0x7f)));
            _mm512_cvtph_ps(_mm256_or_si256(sign, rest))
        };
        fn splat_f32(value: f32) -> __m512 = _mm512_set1_ps(value);
        fn mul_f32(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fn add_f32(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        fn sub_f32(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        fn fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fn fnma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        // SAFETY: the caller's pointer is valid for 16 floats.
        fn store(a: __m512, at: *mut f32) = unsafe { _mm512_storeu_ps(at, a) };
    }
}

/// In assembly because the compiler makes two instructions of the intrinsic where there is a chain
/// of them, for a latency that other rows hide here.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot_pairs_of(mut acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: the CPU has the instruction, which reads and writes registers alone.
    unsafe {
        asm!(
            "vpdpwssd {acc}, {a}, {b}",
            acc = inout(zmm_reg) acc,
            a = in(zmm_reg) a,
            b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    acc
}
