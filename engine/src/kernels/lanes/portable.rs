//! Plain arrays: the reference of the other sets, and what any CPU can run.

use half::f16;

use super::Lanes;

pub(in crate::kernels) struct Portable;

type Ints = [i32; 16];
type Floats = [f32; 16];

/// Defines operations that compute lane `i` from lane `i`.
macro_rules! lanewise {
    ($($i:ident: fn $name:ident($($arg:ident: $type:ty),*) -> $ret:ty = $body:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: $type),*) -> $ret { std::array::from_fn(|$i| $body) }
    )*};
}

impl Lanes for Portable {
    type Int = Ints;
    type Float = Floats;
    const RAISED: bool = false;

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Ints {
        // SAFETY: the caller's pointer is valid for 64 bytes.
        unsafe { at.cast::<Ints>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}

    #[inline(always)]
    unsafe fn load_f32(at: *const f32) -> Floats {
        // SAFETY: the caller's pointer is valid for 16 floats.
        unsafe { at.cast::<Floats>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_f16(at: *const u8) -> Floats {
        // SAFETY: the caller's pointer is valid for 32 bytes.
        let halves = unsafe { at.cast::<[u16; 16]>().read_unaligned() };
        halves.map(|bits| f16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    unsafe fn load_bf16(at: *const u8) -> Floats {
        // SAFETY: the caller's pointer is valid for 32 bytes.
        let halves = unsafe { at.cast::<[u16; 16]>().read_unaligned() };
        halves.map(|bits| f32::from_bits(u32::from(bits) << 16))
    }

    #[inline(always)]
    unsafe fn load_half_powers(at: *const u8) -> Floats {
        // SAFETY: the caller's pointer is valid for 16 bytes.
        let bytes = unsafe { at.cast::<[u8; 16]>().read_unaligned() };
        // Of the exponent 0 the half is subnormal, and so is the power.
        bytes.map(|byte| f32::from_bits((u32::from(byte) << 23).max(1 << 22)) * 0.5)
    }

    #[inline(always)]
    unsafe fn load_bytes(at: *const u8) -> Ints {
        // SAFETY: the caller's pointer is valid for 16 bytes.
        unsafe { at.cast::<[u8; 16]>().read() }.map(i32::from)
    }

    #[inline(always)]
    unsafe fn load_e4m3(at: *const u8) -> Floats {
        // SAFETY: the caller's pointer is valid for 16 bytes.
        let codes = unsafe { at.cast::<[u8; 16]>().read() };
        // Exponent and mantissa of E4M3 are those of an f16 that is 256 times smaller.
        codes.map(|code| {
            let (sign, rest) = (u16::from(code & 0x80) << 8, u16::from(code & 0x7f) << 7);
            f16::from_bits(sign | rest).to_f32()
        })
    }

    #[inline(always)]
    unsafe fn store(a: Floats, at: *mut f32) {
        // SAFETY: the caller's pointer is valid for 16 floats.
        unsafe { at.cast::<Floats>().write_unaligned(a) }
    }

    lanewise! {
        _i: fn splat(value: i32) -> Ints = value;
        i: fn and(a: Ints, b: Ints) -> Ints = a[i] & b[i];
        i: fn or(a: Ints, b: Ints) -> Ints = a[i] | b[i];
        i: fn xor(a: Ints, b: Ints) -> Ints = a[i] ^ b[i];
        i: fn add(a: Ints, b: Ints) -> Ints = a[i].wrapping_add(b[i]);
        i: fn sub(a: Ints, b: Ints) -> Ints = a[i].wrapping_sub(b[i]);
        i: fn mul(a: Ints, b: Ints) -> Ints = a[i].wrapping_mul(b[i]);
        i: fn shl16(a: Ints, bits: i32) -> Ints = join(halves(a[i]).map(|x| x << bits));
        i: fn shr16(a: Ints, bits: i32) -> Ints =
            join(halves(a[i]).map(|x| ((x as u16) >> bits) as i16));
        i: fn sar16(a: Ints, bits: i32) -> Ints = join(halves(a[i]).map(|x| x >> bits));
        i: fn shl32(a: Ints, bits: i32) -> Ints = a[i] << bits;
        i: fn shr32(a: Ints, bits: i32) -> Ints = ((a[i] as u32) >> bits) as i32;
        i: fn sar32(a: Ints, bits: i32) -> Ints = a[i] >> bits;
        i: fn lookup(table: &[u8; 16], codes: Ints) -> Ints =
            i32::from_le_bytes(codes[i].to_le_bytes().map(|code| table[usize::from(code & 15)]));
        i: fn dot(acc: Ints, codes: Ints, x: Ints) -> Ints =
            acc[i] + products(codes[i].to_le_bytes().map(i32::from), x[i]);
        i: fn dot_wide(acc: Ints, codes: Ints, x: Ints) -> Ints =
            acc[i] + products(codes[i].to_le_bytes().map(|code| i32::from(code) - 128), x[i]);
        i: fn dot_pairs(acc: Ints, a: Ints, b: Ints) -> Ints = {
            let (a, b) = (halves(a[i]).map(i32::from), halves(b[i]).map(i32::from));
            acc[i] + a[0] * b[0] + a[1] * b[1]
        };
        i: fn to_float(a: Ints) -> Floats = a[i] as f32;
        _i: fn splat_f32(value: f32) -> Floats = value;
        i: fn mul_f32(a: Floats, b: Floats) -> Floats = a[i] * b[i];
        i: fn add_f32(a: Floats, b: Floats) -> Floats = a[i] + b[i];
        i: fn sub_f32(a: Floats, b: Floats) -> Floats = a[i] - b[i];
        i: fn fma(a: Floats, b: Floats, c: Floats) -> Floats = a[i].mul_add(b[i], c[i]);
        i: fn fnma(a: Floats, b: Floats, c: Floats) -> Floats = (-a[i]).mul_add(b[i], c[i]);
    }
}

#[inline(always)]
fn products(codes: [i32; 4], x: i32) -> i32 {
    let x = x.to_le_bytes().map(|byte| i32::from(byte as i8));
    codes[0] * x[0] + codes[1] * x[1] + codes[2] * x[2] + codes[3] * x[3]
}

#[inline(always)]
fn halves(x: i32) -> [i16; 2] {
    [x as i16, (x >> 16) as i16]
}

#[inline(always)]
fn join([low, high]: [i16; 2]) -> i32 {
    i32::from(low as u16 as i16) & 0xffff | i32::from(high) << 16
}
