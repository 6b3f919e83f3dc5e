//! Model math: a stage holds a range of layers and runs one step batch after another over them.
//!
//! What a row (one token of one sequence) yields depends neither on the rows beside it, nor on how
//! its prompt was cut into chunks, nor on where the pipeline is cut, nor on the number of threads:
//! every sum has one order, fixed by the lengths alone.

pub mod collective;
pub mod config;
pub mod error;
pub mod generate;
pub mod gpu;
pub mod memory;
pub mod stage;
pub mod weights;

mod activations;
mod batch;
#[cfg(feature = "candle")]
mod device;
mod kernels;
mod layers;
mod models;
mod sampler;
mod state;
mod step_lists;
mod workspace;

pub use checkpoint::WeightType;
pub use config::StageConfig;
pub use error::EngineError;
pub use generate::{GenerateOptions, generate};
pub use kernels::{Compute, KernelSet, give_back_large_blocks};
pub use memory::StageMemory;
#[cfg(feature = "candle")]
pub use stage::Device;
pub use stage::{Place, Stage, StageInput, StageOutput};
pub use state::StateSnapshot;
pub use weights::{
    CachedSource, FileSource, PackedCache, PackedCacheError, PackedIdentity, PackedShard,
    WeightSource, digest_of_files,
};

/// Products with packed weights on their own, for who measures them.
pub mod matmul {
    pub use crate::kernels::panels::{InputSpace, PackedMatrix, Product, multiply, pack_panels};
}

#[cfg(target_endian = "big")]
compile_error!("weights and activations are read as little-endian values in place");
