//! A stage's tensors, found by their canonical names and read into memory once.

mod blocks;
mod dequantise;
mod matrix;
mod source;
mod tensors;

pub use dequantise::dequantise;
pub(crate) use matrix::{Matrix, Values};
pub use source::{FileSource, WeightSource};
pub(crate) use tensors::Tensors;
