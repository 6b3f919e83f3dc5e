//! A node's agent: probe, weight store, shards, the pipeline, and at its head the scheduler.
#![forbid(unsafe_code)]

pub mod config;
pub mod error;
pub mod import;
pub mod join;
pub mod scheduler;
pub mod shard;
pub mod weight_store;

pub use config::{Config, Timeouts};
pub use error::WorkerError;
