//! The replicated log: an openraft group of one, three or five voters, its store, its wire.

mod dial;
mod freshness;
mod handover;
mod keeper;
mod log_store;
mod membership;
mod network;
mod node;
mod parts;
mod propose;
mod room;
mod seed;
mod service;
mod snapshot;
mod state_machine;
mod type_config;
mod voters;

pub(crate) use self::dial::Link;
pub use self::freshness::Freshness;
pub use self::node::{Consensus, ConsensusConfig, ConsensusStatus};
pub use self::propose::ProposeError;
pub(crate) use self::propose::wall_clock;
pub use self::room::Shortage;
pub(crate) use self::seed::seed;
pub(crate) use self::service::RaftService;
#[cfg(feature = "testing")]
pub(crate) use self::{network::VoteCall, parts::Parts, type_config::TypeConfig};

#[cfg(test)]
mod tests;
