//! NEON with its dot products: a lane vector is four registers.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Lanes, operations};

pub(in crate::kernels) struct Neon;

type Ints = [int32x4_t; 4];
type Floats = [float32x4_t; 4];

/// The four registers of a result, from those with the same number.
macro_rules! each {
    ($i:ident => $register:expr) => {
        [
            {
                const $i: usize = 0;
                $register
            },
            {
                const $i: usize = 1;
                $register
            },
            {
                const $i: usize = 2;
                $register
            },
            {
                const $i: usize = 3;
                $register
            },
        ]
    };
}

impl Lanes for Neon {
    type Int = Ints;
    type Float = Floats;
    const RAISED: bool = false;

    operations! { "neon,dotprod";
        fn load(at: *const u8) -> Ints = {
            // SAFETY: the caller's pointer is valid for 64 bytes.
            each!(i => vreinterpretq_s32_u8(unsafe { vld1q_u8(at.add(16 * i)) }))
        };
        fn load_bytes(at: *const u8) -> Ints = {
            // SAFETY: the caller's pointer is valid for 16 bytes.
            let words = widen_bytes(unsafe { vld1q_u8(at) });
            each!(i => vreinterpretq_s32_u32(vmovl_u16(words[i])))
        };
        fn prefetch(at: *const u8) = {
            // SAFETY: a hint; the address need not exist.
            unsafe { asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, readonly)) }
        };
        fn splat(value: i32) -> Ints = [vdupq_n_s32(value); 4];
        fn and(a: Ints, b: Ints) -> Ints = each!(i => vandq_s32(a[i], b[i]));
        fn or(a: Ints, b: Ints) -> Ints = each!(i => vorrq_s32(a[i], b[i]));
        fn xor(a: Ints, b: Ints) -> Ints = each!(i => veorq_s32(a[i], b[i]));
        fn add(a: Ints, b: Ints) -> Ints = each!(i => vaddq_s32(a[i], b[i]));
        fn sub(a: Ints, b: Ints) -> Ints = each!(i => vsubq_s32(a[i], b[i]));
        fn mul(a: Ints, b: Ints) -> Ints = each!(i => vmulq_s32(a[i], b[i]));
        fn shl16(a: Ints, bits: i32) -> Ints = {
            let bits = vdupq_n_s16(bits as i16);
            each!(i => vreinterpretq_s32_s16(vshlq_s16(vreinterpretq_s16_s32(a[i]), bits)))
        };
        // A shift to the right is one to the left by less than nothing.
        fn shr16(a: Ints, bits: i32) -> Ints = {
            let bits = vdupq_n_s16(-bits as i16);
            each!(i => vreinterpretq_s32_u16(vshlq_u16(vreinterpretq_u16_s32(a[i]), bits)))
        };
        fn sar16(a: Ints, bits: i32) -> Ints = {
            let bits = vdupq_n_s16(-bits as i16);
            each!(i => vreinterpretq_s32_s16(vshlq_s16(vreinterpretq_s16_s32(a[i]), bits)))
        };
        fn shl32(a: Ints, bits: i32) -> Ints = {
            let bits = vdupq_n_s32(bits);
            each!(i => vshlq_s32(a[i], bits))
        };
        fn shr32(a: Ints, bits: i32) -> Ints = {
            let bits = vdupq_n_s32(-bits);
            each!(i => vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a[i]), bits)))
        };
        fn sar32(a: Ints, bits: i32) -> Ints = {
            let bits = vdupq_n_s32(-bits);
            each!(i => vshlq_s32(a[i], bits))
        };
        fn lookup(table: &[u8; 16], codes: Ints) -> Ints = {
            // SAFETY: the table has the 16 bytes that are read.
            let table = unsafe { vld1q_u8(table.as_ptr()) };
            each!(i => vreinterpretq_s32_u8(vqtbl1q_u8(table, vreinterpretq_u8_s32(codes[i]))))
        };
        fn dot(acc: Ints, codes: Ints, x: Ints) -> Ints = {
            each!(i => dot_of(acc[i], codes[i], x[i]))
        };
        fn dot_wide(acc: Ints, codes: Ints, x: Ints) -> Ints = {
            let raised = vreinterpretq_s32_u8(vdupq_n_u8(128));
            each!(i => dot_of(acc[i], veorq_s32(codes[i], raised), x[i]))
        };
        fn dot_pairs(acc: Ints, a: Ints, b: Ints) -> Ints = each!(i => {
            let (a, b) = (vreinterpretq_s16_s32(a[i]), vreinterpretq_s16_s32(b[i]));
            let low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
            vaddq_s32(acc[i], vpaddq_s32(low, vmull_high_s16(a, b)))
        });

        fn to_float(a: Ints) -> Floats = each!(i => vcvtq_f32_s32(a[i]));
        fn load_f32(at: *const f32) -> Floats = {
            // SAFETY: the caller's pointer is valid for 16 floats.
            each!(i => unsafe { vld1q_f32(at.add(4 * i)) })
        };
        fn load_f16(at: *const u8) -> Floats = {
            // SAFETY: the caller's pointer is valid for 32 bytes.
            each!(i => widen_f16(unsafe { load_halves(at.add(8 * i)) }))
        };
        fn load_bf16(at: *const u8) -> Floats = {
            // SAFETY: the caller's pointer is valid for 32 bytes.
            each!(i => vreinterpretq_f32_u32(vshll_n_u16::<16>(unsafe {
                load_halves(at.add(8 * i))
            })))
        };
        fn load_half_powers(at: *const u8) -> Floats = {
            // SAFETY: the caller's pointer is valid for 16 bytes.
            let words = widen_bytes(unsafe { vld1q_u8(at) });
            // Of the exponent 0 the half is subnormal, and so is the power.
            each!(i => {
                let bits = vmaxq_u32(vshlq_n_u32::<23>(vmovl_u16(words[i])), vdupq_n_u32(1 << 22));
                vmulq_n_f32(vreinterpretq_f32_u32(bits), 0.5)
            })
        };
        fn load_e4m3(at: *const u8) -> Floats = {
            // SAFETY: the caller's pointer is valid for 16 bytes.
            let codes = widen_bytes(unsafe { vld1q_u8(at) });
            // Exponent and mantissa of E4M3 are those of an f16 that is 256 times smaller.
            each!(i => {
                let sign = vshl_n_u16::<8>(vand_u16(codes[i], vdup_n_u16(0x80)));
                let rest = vshl_n_u16::<7>(vand_u16(codes[i], vdup_n_u16(0x7f)));
                widen_f16(vorr_u16(sign, rest))
            })
        };
        fn splat_f32(value: f32) -> Floats = [vdupq_n_f32(value); 4];
        fn mul_f32(a: Floats, b: Floats) -> Floats = each!(i => vmulq_f32(a[i], b[i]));
        fn add_f32(a: Floats, b: Floats) -> Floats = each!(i => vaddq_f32(a[i], b[i]));
        fn sub_f32(a: Floats, b: Floats) -> Floats = each!(i => vsubq_f32(a[i], b[i]));
        fn fma(a: Floats, b: Floats, c: Floats) -> Floats = each!(i => vfmaq_f32(c[i], a[i], b[i]));
        fn fnma(a: Floats, b: Floats, c: Floats) -> Floats =
            each!(i => vfmsq_f32(c[i], a[i], b[i]));
        fn store(a: Floats, at: *mut f32) = {
            for (i, a) in a.into_iter().enumerate() {
                // SAFETY: the caller's pointer is valid for 16 floats.
                unsafe { vst1q_f32(at.add(4 * i), a) }
            }
        };
    }
}

/// `acc + sum of codes[j] * x[j]` over the four bytes of a lane, both signed.
///
/// In assembly because the compiler's own name for it is not stable yet
/// (<https://github.com/rust-lang/rust/issues/117224>).
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot_of(mut acc: int32x4_t, codes: int32x4_t, x: int32x4_t) -> int32x4_t {
    // SAFETY: the CPU has the instruction, which reads and writes registers alone.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {codes:v}.16b, {x:v}.16b",
            acc = inout(vreg) acc,
            codes = in(vreg) codes,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    acc
}

/// # Safety
/// `at` is valid for 8 bytes, of any alignment.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_halves(at: *const u8) -> uint16x4_t {
    // SAFETY: the caller's promise.
    vreinterpret_u16_u8(unsafe { vld1_u8(at) })
}

#[inline]
#[target_feature(enable = "neon")]
fn widen_f16(halves: uint16x4_t) -> float32x4_t {
    vcvt_f32_f16(vreinterpret_f16_u16(halves))
}

#[inline]
#[target_feature(enable = "neon")]
fn widen_bytes(bytes: uint8x16_t) -> [uint16x4_t; 4] {
    let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
    [vget_low_u16(low), vget_high_u16(low), vget_low_u16(high), vget_high_u16(high)]
}
