//! Limits and usage of API keys, over all coordinators: the leader leases parts of each limit, and
//! every coordinator tells the log what was used.

mod counter;
mod ledger;
mod purse;
mod service;
mod usage;
mod window;

pub(crate) use self::counter::Counter;
pub(crate) use self::service::LimitsService;

#[cfg(test)]
mod tests;
