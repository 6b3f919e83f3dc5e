//! Sixteen 32-bit lanes, one per weight row of a panel, in each instruction set.
//!
//! The products are written once over this trait. Every operation is exact or rounds once by
//! IEEE 754, so all sets give the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::Neon;
pub(super) use portable::Portable;

/// An instruction set's vectors of 64 bytes.
///
/// # Safety
/// Of all functions: the CPU has the set's features; a pointer is valid for the 16 lanes that are
/// read or written through it. No alignment is needed.
pub(super) trait Lanes {
    /// 16 x i32, or 64 bytes.
    type Int: Copy;
    /// 16 x f32.
    type Float: Copy;
    /// Whether `dot_wide` leaves its codes raised by 128, so that 128 times the sum of `x` is to
    /// be taken off its result.
    const RAISED: bool;

    unsafe fn load(at: *const u8) -> Self::Int;
    /// 16 bytes without a sign, one to a lane.
    unsafe fn load_bytes(at: *const u8) -> Self::Int;
    /// Asks for the cache line at `at`, which need not exist.
    unsafe fn prefetch(at: *const u8);
    unsafe fn splat(value: i32) -> Self::Int;
    unsafe fn and(a: Self::Int, b: Self::Int) -> Self::Int;
    unsafe fn or(a: Self::Int, b: Self::Int) -> Self::Int;
    unsafe fn xor(a: Self::Int, b: Self::Int) -> Self::Int;
    unsafe fn add(a: Self::Int, b: Self::Int) -> Self::Int;
    unsafe fn sub(a: Self::Int, b: Self::Int) -> Self::Int;
    unsafe fn mul(a: Self::Int, b: Self::Int) -> Self::Int;
    /// Shifts of 16-bit parts; `sar` keeps the sign.
    unsafe fn shl16(a: Self::Int, bits: i32) -> Self::Int;
    unsafe fn shr16(a: Self::Int, bits: i32) -> Self::Int;
    unsafe fn sar16(a: Self::Int, bits: i32) -> Self::Int;
    /// Shifts of whole lanes; `sar` keeps the sign.
    unsafe fn shl32(a: Self::Int, bits: i32) -> Self::Int;
    unsafe fn shr32(a: Self::Int, bits: i32) -> Self::Int;
    unsafe fn sar32(a: Self::Int, bits: i32) -> Self::Int;
    /// `table[code]` for each byte code of 0 to 15.
    unsafe fn lookup(table: &[u8; 16], codes: Self::Int) -> Self::Int;
    /// `acc + sum of codes[j] * x[j]` over the four bytes of a lane; codes of 0 to 127.
    unsafe fn dot(acc: Self::Int, codes: Self::Int, x: Self::Int) -> Self::Int;
    /// As `dot` for signed codes stored raised by 128; see `RAISED`.
    unsafe fn dot_wide(acc: Self::Int, codes: Self::Int, x: Self::Int) -> Self::Int;
    /// `acc + a[0] * b[0] + a[1] * b[1]` over the two i16 of a lane.
    unsafe fn dot_pairs(acc: Self::Int, a: Self::Int, b: Self::Int) -> Self::Int;

    unsafe fn to_float(a: Self::Int) -> Self::Float;
    unsafe fn load_f32(at: *const f32) -> Self::Float;
    unsafe fn load_f16(at: *const u8) -> Self::Float;
    unsafe fn load_bf16(at: *const u8) -> Self::Float;
    /// Half of 2^(e - 127) for each of 16 bytes e, of which none is 255.
    unsafe fn load_half_powers(at: *const u8) -> Self::Float;
    /// A 256th of each of 16 E4M3 numbers.
    unsafe fn load_e4m3(at: *const u8) -> Self::Float;
    unsafe fn splat_f32(value: f32) -> Self::Float;
    unsafe fn mul_f32(a: Self::Float, b: Self::Float) -> Self::Float;
    unsafe fn add_f32(a: Self::Float, b: Self::Float) -> Self::Float;
    unsafe fn sub_f32(a: Self::Float, b: Self::Float) -> Self::Float;
    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::Float, b: Self::Float, c: Self::Float) -> Self::Float;
    /// `c - a * b`, rounded once.
    unsafe fn fnma(a: Self::Float, b: Self::Float, c: Self::Float) -> Self::Float;
    unsafe fn store(a: Self::Float, at: *mut f32);
}

/// Defines a set's operations, each compiled for its features and small enough to be inlined.
macro_rules! operations {
    ($features:literal; $(
        fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? = $body:expr;
    )*) => {$(
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn $name($($arg: $type),*) $(-> $ret)? { $body }
    )*};
}
pub(super) use operations;
