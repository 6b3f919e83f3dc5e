//! The delta rule as compiled for each kernel set.

use super::{DeltaToken, VALUE_GROUP};
use crate::kernels::KernelSet;
#[cfg(target_arch = "aarch64")]
use crate::kernels::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use crate::kernels::lanes::{Avx2, Avx512};
use crate::kernels::lanes::{Lanes, Portable};

/// # Safety
/// The CPU has the set's features; `state` is as large as the token's key times its value, the
/// query as long as the key, `out` as the value, and that a multiple of `VALUE_GROUP`.
pub(super) type Kernel = unsafe fn(state: &mut [f32], token: &DeltaToken<'_>, out: &mut [f32]);

pub(super) fn kernel(set: KernelSet) -> Kernel {
    match set {
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx512Vnni | KernelSet::Amx => avx512,
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx2 => avx2,
        #[cfg(target_arch = "aarch64")]
        KernelSet::Neon => neon,
        _ => portable,
    }
}

/// Defines a set's kernel, which takes up to `$wide` vectors of columns at a time: as many as it
/// has registers for; a key's 128 rows of them stay in the first cache between the two passes.
macro_rules! compiled {
    ($name:ident, $lanes:ty, $wide:literal $(, #[$features:meta])?) => {
        $(#[$features])?
        unsafe fn $name(state: &mut [f32], token: &DeltaToken<'_>, out: &mut [f32]) {
            let columns = token.value.len();
            let mut first = 0;
            // SAFETY: the caller's promise; the columns are the state's.
            unsafe {
                while first + $wide * VALUE_GROUP <= columns {
                    update::<$lanes, $wide>(state, token, out, first);
                    first += $wide * VALUE_GROUP;
                }
                while first < columns {
                    update::<$lanes, 1>(state, token, out, first);
                    first += VALUE_GROUP;
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled!(
    avx512, Avx512, 4,
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
);
#[cfg(target_arch = "x86_64")]
compiled!(avx2, Avx2, 2, #[target_feature(enable = "avx2,fma,f16c")]);
#[cfg(target_arch = "aarch64")]
compiled!(neon, Neon, 1, #[target_feature(enable = "neon,dotprod")]);
compiled!(portable, Portable, 1);

/// Columns `first` to `first + 16 W`.
///
/// # Safety
/// As `Kernel`; the state has the columns.
#[inline(always)]
unsafe fn update<V: Lanes, const W: usize>(
    state: &mut [f32],
    token: &DeltaToken<'_>,
    out: &mut [f32],
    first: usize,
) {
    let columns = token.value.len();
    // SAFETY: the caller's promise.
    unsafe {
        let start = state.as_mut_ptr().add(first);
        let decay = V::splat_f32(token.decay);
        // What the state knows of the key, then the part of the difference that is written.
        let mut change = [V::splat_f32(0.0); W];
        for (row, key) in token.key.iter().enumerate() {
            let (at, key) = (start.add(row * columns), V::splat_f32(*key));
            for (w, known) in change.iter_mut().enumerate() {
                *known = V::fma(key, V::load_f32(at.add(w * VALUE_GROUP)), *known);
            }
        }
        for (w, change) in change.iter_mut().enumerate() {
            let value = V::load_f32(token.value.as_ptr().add(first + w * VALUE_GROUP));
            *change = V::mul_f32(V::splat_f32(token.rate), V::fnma(decay, *change, value));
        }
        let mut read = [V::splat_f32(0.0); W];
        for (row, (key, query)) in token.key.iter().zip(token.query).enumerate() {
            let at = start.add(row * columns);
            let (key, query) = (V::splat_f32(*key), V::splat_f32(*query));
            for (w, (read, change)) in read.iter_mut().zip(change).enumerate() {
                let at = at.add(w * VALUE_GROUP);
                let kept = V::mul_f32(decay, V::load_f32(at));
                let new = V::fma(key, change, kept);
                V::store(new, at);
                *read = V::fma(query, new, *read);
            }
        }
        for (w, read) in read.into_iter().enumerate() {
            V::store(read, out.as_mut_ptr().add(first + w * VALUE_GROUP));
        }
    }
}
