//! A node's agent: probe, weight store, shards, the pipeline, and at its head the scheduler.
#![forbid(unsafe_code)]

pub mod collective;
pub mod config;
mod control_link;
mod data_plane;
mod device;
pub mod device_choice;
mod driver;
pub mod error;
mod gpu;
mod identity_keeper;
pub mod import;
pub mod join;
mod metrics;
mod pipeline;
pub mod probe;
pub mod scheduler;
pub mod shard;
mod start;
pub mod weight_store;

pub use config::{Config, Timeouts};
pub use device_choice::DeviceChoice;
pub use error::WorkerError;
pub use probe::{host_facts, measure_disk};
pub use start::{Stopping, Worker, run};
