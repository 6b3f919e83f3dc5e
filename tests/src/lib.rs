//! What tests of the whole share: the cluster simulator, the invariants it watches, and the
//! harness for real processes.
#![forbid(unsafe_code)]

pub mod invariants;
pub mod linearizability;
pub mod netns;
pub mod process;
pub mod relay;
pub mod sim;
