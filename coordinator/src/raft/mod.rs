//! The replicated log: an openraft group of one or three voters, its store, its wire.

mod dial;
mod log_store;
mod membership;
mod network;
mod node;
mod propose;
mod service;
mod snapshot;
mod state_machine;
mod type_config;

pub use self::node::{Consensus, ConsensusConfig, ConsensusStatus};
pub use self::propose::ProposeError;
pub(crate) use self::propose::wall_clock;
pub(crate) use self::service::RaftService;
#[cfg(feature = "testing")]
pub(crate) use self::{network::VoteCall, node::Parts, type_config::TypeConfig};

#[cfg(test)]
mod tests;
