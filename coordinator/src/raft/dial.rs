//! Clients of the other coordinators' Raft service.

use std::sync::Arc;
use std::time::Duration;

use protocol::ids::NodeId;
use protocol::rpc::ENVELOPE_BYTES_MAX;
use protocol::rpc::raft_client::RaftClient;
use protocol::transport::tls::GRPC_ALPN;
use protocol::transport::{GrpcTarget, NodeTls, TransportError};

#[cfg(feature = "testing")]
pub(crate) use crate::testing::Link;
#[cfg(not(feature = "testing"))]
pub(crate) use tonic::transport::Channel as Link;

/// A dead machine's address must not hold up an election.
const DIAL_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub(crate) enum Dialer {
    Tls(NodeTls),
    #[cfg(feature = "testing")]
    Simulated(Arc<dyn crate::testing::Wire>),
}

impl Dialer {
    /// A client that dials at its first call and whenever the connection is gone; whoever answers
    /// must prove to be `node`.
    pub(crate) fn client(
        &self,
        node: NodeId,
        address: &str,
    ) -> Result<RaftClient<Link>, TransportError> {
        let client = RaftClient::new(self.link(node, address)?);
        Ok(client
            .max_decoding_message_size(ENVELOPE_BYTES_MAX)
            .max_encoding_message_size(ENVELOPE_BYTES_MAX))
    }

    pub(crate) fn link(&self, node: NodeId, address: &str) -> Result<Link, TransportError> {
        let tls = match self {
            Self::Tls(tls) => Arc::new(tls.client(Some(node), GRPC_ALPN)?),
            #[cfg(feature = "testing")]
            Self::Simulated(wire) => {
                return Ok(Link::Simulated { wire: Arc::clone(wire), to: node });
            }
        };
        let target = GrpcTarget { address: address.to_owned(), tls, dial_timeout: DIAL_TIMEOUT };
        #[cfg(feature = "testing")]
        return Ok(Link::Channel(target.connect_lazily()?));
        #[cfg(not(feature = "testing"))]
        target.connect_lazily()
    }
}
