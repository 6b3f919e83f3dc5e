//! What keys and values are stored as.

use crate::kernels::lanes::Lanes;

pub(super) trait Element {
    const BYTES: usize;

    /// Sixteen elements.
    ///
    /// # Safety
    /// As `Lanes`: the CPU has the set, 16 elements are there.
    unsafe fn load<V: Lanes>(at: *const u8) -> V::Float;

    /// One element.
    ///
    /// # Safety
    /// An element is there.
    unsafe fn value(at: *const u8) -> f32;
}

pub(super) struct F16;
pub(super) struct F32;
pub(super) struct Bf16;

impl Element for F16 {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn load<V: Lanes>(at: *const u8) -> V::Float {
        // SAFETY: the caller's promise.
        unsafe { V::load_f16(at) }
    }

    #[inline(always)]
    unsafe fn value(at: *const u8) -> f32 {
        // SAFETY: the caller's promise; the access needs no alignment.
        half::f16::from_bits(unsafe { at.cast::<u16>().read_unaligned() }).to_f32()
    }
}

impl Element for Bf16 {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn load<V: Lanes>(at: *const u8) -> V::Float {
        // SAFETY: the caller's promise.
        unsafe { V::load_bf16(at) }
    }

    #[inline(always)]
    unsafe fn value(at: *const u8) -> f32 {
        // SAFETY: the caller's promise; the access needs no alignment.
        half::bf16::from_bits(unsafe { at.cast::<u16>().read_unaligned() }).to_f32()
    }
}

impl Element for F32 {
    const BYTES: usize = 4;

    #[inline(always)]
    unsafe fn load<V: Lanes>(at: *const u8) -> V::Float {
        // SAFETY: the caller's promise.
        unsafe { V::load_f32(at.cast()) }
    }

    #[inline(always)]
    unsafe fn value(at: *const u8) -> f32 {
        // SAFETY: the caller's promise; the access needs no alignment.
        unsafe { at.cast::<f32>().read_unaligned() }
    }
}
