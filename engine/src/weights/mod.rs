//! A stage's tensors, found by their canonical names, read once and packed for products.

#[cfg(feature = "candle")]
mod blocks;
mod dequantise;
mod give_back;
mod matrix;
mod packed_cache;
mod packing;
mod piece;
mod rows;
mod source;
mod tensors;
mod window;

#[cfg(feature = "candle")]
pub(crate) use blocks::Blocks;
pub use dequantise::dequantise;
pub(crate) use give_back::give_back_free_memory;
pub(crate) use matrix::Matrix;
pub use packed_cache::{
    CachedSource, PackedCache, PackedCacheError, PackedIdentity, PackedShard, digest_of_files,
};
pub use source::{FileSource, WeightSource};
pub(crate) use tensors::Tensors;
