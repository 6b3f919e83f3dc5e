//! What crosses a process boundary: values, encodings, node identity, transport configuration.
#![forbid(unsafe_code)]

pub mod activation;
pub mod admin;
pub mod control;
pub mod encoding;
pub mod error;
pub mod frame;
pub mod generate;
pub mod host_facts;
pub mod identity;
pub mod ids;
pub mod limits;
pub mod log_ring;
pub mod model_spec;
pub mod node_profile;
pub mod plan;
pub mod questions;
pub mod rpc;
pub mod sampling_params;
pub mod shard;
pub mod step_batch;
pub mod stream;
pub mod transport;

pub use error::ProtocolError;

/// Of the whole product: what a node says that it runs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
