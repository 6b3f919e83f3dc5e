//! Arithmetic under the layers: loops over floats, products with packed weights, and the threads
//! that compute them.

pub(crate) mod attention;
pub(crate) mod cpu;
#[cfg(feature = "candle")]
pub(crate) mod cuda;
pub(crate) mod delta_rule;
pub(crate) mod panels;

mod compute;
mod compute_pool;
#[cfg(feature = "cuda")]
mod cuda_devices;
#[cfg(feature = "cuda")]
mod cuda_libraries;
mod heap;
mod kernel_set;
mod lanes;
#[cfg(feature = "nccl")]
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "GPUs alone use it, beside tests"))]
mod nccl_library;
mod numa;

pub use compute::Compute;
#[cfg(feature = "cuda")]
pub(crate) use cuda_devices::cuda_devices;
#[cfg(feature = "cuda")]
pub(crate) use cuda_libraries::missing_cuda_library;
pub use heap::give_back_large_blocks;
pub use kernel_set::KernelSet;
#[cfg(feature = "nccl")]
pub(crate) use nccl_library::NcclLibrary;
