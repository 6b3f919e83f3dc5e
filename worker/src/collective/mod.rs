//! Ways between the ranks of a tensor-parallel group that live on different nodes.

mod direct_link;
mod interface;
mod quic_link;

pub use direct_link::DirectLink;
pub(crate) use interface::interfaces_of;
pub use quic_link::QuicLink;
