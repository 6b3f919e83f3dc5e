//! What a simulation needs to run whole coordinators in one thread, under a clock, a network and
//! disks of its own: the real Raft, log, state machine and calls. Nothing here is in the product.

mod link;
mod replica;
mod runtime;
mod world;

pub use link::{Answer, Call, Wire};
pub use replica::{Blob, Position, Replica, Setting};
pub use world::{Entered, Future, World, enter};

pub(crate) use link::Link;
pub(crate) use runtime::Runtime;
pub(crate) use world::ask;
