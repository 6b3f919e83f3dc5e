//! The passes as compiled for each kernel set and stored type.

use super::SPAN;
use super::element::{Bf16, Element, F16, F32};
use super::paged_head::{Elements, KEY_GROUP};
pub(super) use super::passes::Pass;
use super::passes::{last_values, row_scores, scores, values};
use crate::kernels::KernelSet;
#[cfg(target_arch = "aarch64")]
use crate::kernels::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use crate::kernels::lanes::{Avx2, Avx512};
use crate::kernels::lanes::{Lanes, Portable};

/// # Safety
/// Of both: the CPU has the set's features; the head holds the span; the pointers are to a row for
/// each head, of `SPAN` weights or `value_dim` sums.
pub(super) struct Passes {
    /// From queries (`[heads, key_dim]`) to dot products in place of the weights.
    pub(super) scores: unsafe fn(&Pass<'_>, query: *const f32, weights: *mut f32),
    /// From weights to their sums of values.
    pub(super) values: unsafe fn(&Pass<'_>, weights: *const f32, out: *mut f32),
}

pub(super) fn passes(set: KernelSet, elements: Elements<'_>) -> Passes {
    match elements {
        Elements::F16(_) => passes_of::<F16>(set),
        Elements::Bf16(_) => passes_of::<Bf16>(set),
        // Codes are widened before they are looked at.
        Elements::F32(_) | Elements::Q8_0(_) => passes_of::<F32>(set),
    }
}

fn passes_of<E: Element>(set: KernelSet) -> Passes {
    match set {
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx512Vnni | KernelSet::Amx => {
            Passes { scores: avx512::all_scores::<E>, values: avx512::all_values::<E> }
        }
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx2 => Passes { scores: avx2::all_scores::<E>, values: avx2::all_values::<E> },
        #[cfg(target_arch = "aarch64")]
        KernelSet::Neon => Passes { scores: neon::all_scores::<E>, values: neon::all_values::<E> },
        _ => Passes { scores: portable::all_scores::<E>, values: portable::all_values::<E> },
    }
}

/// Defines a set's passes, which take `$groups` groups of keys or `$wide` vectors of a value at a
/// time: as many as the set has registers for, with four heads.
macro_rules! compiled {
    ($name:ident, $lanes:ty, $groups:literal, $wide:literal $(, #[$features:meta])?) => {
        mod $name {
            use super::*;

            $(#[$features])?
            pub(super) unsafe fn all_scores<E: Element>(
                pass: &Pass<'_>,
                query: *const f32,
                weights: *mut f32,
            ) {
                let mut head = 0;
                while head < pass.heads {
                    // SAFETY: the caller's promise, for the heads that are left.
                    unsafe {
                        let query = query.add(head * pass.head.key_dim);
                        let weights = weights.add(head * SPAN);
                        head += match pass.heads - head {
                            1 => span_scores::<$lanes, E, 1, $groups>(pass, query, weights),
                            2..=3 => span_scores::<$lanes, E, 2, $groups>(pass, query, weights),
                            _ => span_scores::<$lanes, E, 4, $groups>(pass, query, weights),
                        };
                    }
                }
            }

            $(#[$features])?
            pub(super) unsafe fn all_values<E: Element>(
                pass: &Pass<'_>,
                weights: *const f32,
                out: *mut f32,
            ) {
                let mut head = 0;
                while head < pass.heads {
                    // SAFETY: the caller's promise, for the heads that are left.
                    unsafe {
                        let weights = weights.add(head * SPAN);
                        let out = out.add(head * pass.head.value_dim);
                        head += match pass.heads - head {
                            1 => span_values::<$lanes, E, 1, $wide>(pass, weights, out),
                            2..=3 => span_values::<$lanes, E, 2, $wide>(pass, weights, out),
                            _ => span_values::<$lanes, E, 4, $wide>(pass, weights, out),
                        };
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled!(
    avx512, Avx512, 2, 4,
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
);
#[cfg(target_arch = "x86_64")]
compiled!(avx2, Avx2, 1, 1, #[target_feature(enable = "avx2,fma,f16c")]);
#[cfg(target_arch = "aarch64")]
compiled!(neon, Neon, 1, 1, #[target_feature(enable = "neon,dotprod")]);
compiled!(portable, Portable, 1, 1);

/// The scores of `H` heads, returned, over the whole groups that the span touches.
///
/// # Safety
/// As `Passes`, for `H` heads.
#[inline(always)]
unsafe fn span_scores<V: Lanes, E: Element, const H: usize, const G: usize>(
    pass: &Pass<'_>,
    query: *const f32,
    weights: *mut f32,
) -> usize {
    if pass.head.row_keys {
        for position in pass.span.clone() {
            // SAFETY: the caller's promise.
            unsafe { row_scores::<V, E, H>(pass, position, query, weights.add(position % SPAN)) };
        }
        return H;
    }
    let mut position = pass.span.start / KEY_GROUP * KEY_GROUP;
    while position < pass.span.end {
        // SAFETY: the caller's promise; a group lies within a block and within a row of weights.
        unsafe {
            let out = weights.add(position % SPAN);
            if position + (G - 1) * KEY_GROUP < pass.span.end {
                scores::<V, E, H, G>(pass, position, query, out);
                position += G * KEY_GROUP;
            } else {
                scores::<V, E, H, 1>(pass, position, query, out);
                position += KEY_GROUP;
            }
        }
    }
    H
}

/// The weighted sums of `H` heads, returned.
///
/// # Safety
/// As `Passes`, for `H` heads.
#[inline(always)]
unsafe fn span_values<V: Lanes, E: Element, const H: usize, const W: usize>(
    pass: &Pass<'_>,
    weights: *const f32,
    out: *mut f32,
) -> usize {
    let dim = pass.head.value_dim;
    let mut first = 0;
    // SAFETY: the caller's promise; the dimensions are the value's.
    unsafe {
        while first + W * KEY_GROUP <= dim {
            values::<V, E, H, W>(pass, first, weights, out);
            first += W * KEY_GROUP;
        }
        while first + KEY_GROUP <= dim {
            values::<V, E, H, 1>(pass, first, weights, out);
            first += KEY_GROUP;
        }
        for head in 0..H {
            last_values::<E>(pass, first, weights.add(head * SPAN), out.add(head * dim));
        }
    }
    H
}
