//! The stored types, each with its place in a panel.

mod codebooks;
mod float8;
mod floats;
mod grouped_nibbles;
mod q6_k;
mod q8_0;
mod scaled_nibbles;
mod small_blocks;
mod two_bits;

pub(super) use codebooks::{Iq4Nl, Iq4Xs, Mxfp4};
pub(super) use float8::F8x128;
pub(super) use floats::{BF16, F16, F32};
pub(super) use grouped_nibbles::{Int4x32, Int4x64, Int4x128};
pub(super) use q6_k::Q6K;
pub(super) use q8_0::Q8_0;
pub(super) use scaled_nibbles::{Q4K, Q5K};
pub(super) use small_blocks::{Q4_0, Q4_1, Q5_0, Q5_1};
pub(super) use two_bits::{Q2K, Q3K};
