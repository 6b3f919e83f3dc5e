//! Arithmetic under the layers: loops over floats, products with packed weights, and the threads
//! that compute them.

pub(crate) mod attention;
pub(crate) mod cpu;
pub(crate) mod delta_rule;
pub(crate) mod panels;

mod compute;
mod compute_pool;
#[cfg(feature = "cuda")]
mod cuda_devices;
#[cfg(feature = "cuda")]
mod cuda_libraries;
mod kernel_set;
mod lanes;
mod numa;

pub use compute::Compute;
#[cfg(feature = "cuda")]
pub(crate) use cuda_devices::cuda_devices;
#[cfg(feature = "cuda")]
pub(crate) use cuda_libraries::missing_cuda_library;
pub use kernel_set::KernelSet;
