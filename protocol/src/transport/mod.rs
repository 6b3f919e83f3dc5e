//! Encrypted transport between nodes: TLS configuration, QUIC endpoints, gRPC connections, frames.

pub mod direct;
pub mod error;
pub mod frame_stream;
pub mod grpc;
pub mod quic;
pub mod tls;
pub mod verifier;

pub use direct::{DirectListener, DirectSocket, DirectStream};
pub use error::TransportError;
pub use frame_stream::{FrameReader, FrameWriter};
pub use grpc::{GrpcTarget, NodeConnectInfo, NodeStream, NodeStreams};
pub use quic::{QuicEndpoint, QuicSettings, peer_identity};
pub use tls::NodeTls;

#[cfg(test)]
mod tests;
