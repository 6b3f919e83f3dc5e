//! What tests of the whole share: the cluster simulator and the invariants it watches.
#![forbid(unsafe_code)]

pub mod invariants;
pub mod sim;
