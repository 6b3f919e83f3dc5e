//! Ways between the ranks of a tensor-parallel group that live on different nodes.

mod direct_link;
mod quic_link;

pub use direct_link::DirectLink;
pub use quic_link::QuicLink;
