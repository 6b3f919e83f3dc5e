//! The replicated control plane and the client API: Raft, reconciler, gateway, admin API.
#![forbid(unsafe_code)]

pub mod admin;
mod api_key;
mod api_server;
mod backup;
pub mod config;
mod destruction;
mod driver;
pub mod error;
mod events;
mod founding;
pub mod gateway;
mod host;
mod identity;
mod limits;
mod listeners;
mod metrics;
pub mod nodes;
mod pulse;
pub mod raft;
pub mod reconcile;
pub mod rights;
mod running;
pub mod state;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;

pub use backup::{RestoreOptions, Restored, SnapshotHeader, restore};
pub use config::Config;
pub use error::CoordinatorError;
pub use founding::{InitOptions, Initialised, init};
pub use listeners::Listeners;
pub use running::{run, run_on};

#[cfg(test)]
mod fixtures;
