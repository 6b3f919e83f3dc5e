//! Encrypted transport between nodes: TLS configuration, QUIC endpoints, gRPC connections, frames.

mod api_certificate;
mod credentials;
pub mod direct;
pub mod doorkeeper;
pub mod error;
pub mod frame_stream;
pub mod grpc;
pub mod knock;
pub mod quic;
pub mod tls;
pub mod verifier;

pub use api_certificate::ApiCertificate;
pub use direct::{DirectListener, DirectSocket, DirectStream};
pub use doorkeeper::{Doorkeeper, Stranger, StrangerLimits};
pub use error::TransportError;
pub use frame_stream::{FrameReader, FrameWriter};
pub use grpc::{GrpcTarget, NodeConnectInfo, NodeStream, NodeStreams};
pub use quic::{Arrival, QuicEndpoint, QuicSettings, peer_identity};
pub use tls::NodeTls;

#[cfg(test)]
mod tests;
