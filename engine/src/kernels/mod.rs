//! Arithmetic under the layers: loops over floats, products with packed weights, and the threads
//! that compute them.

pub(crate) mod attention;
pub(crate) mod cpu;
pub(crate) mod delta_rule;
pub(crate) mod panels;

mod compute;
mod compute_pool;
mod kernel_set;
mod lanes;

pub use compute::Compute;
pub use kernel_set::KernelSet;
