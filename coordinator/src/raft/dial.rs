//! Clients of the other coordinators' Raft service.

use std::sync::Arc;
use std::time::Duration;

use protocol::ids::NodeId;
use protocol::rpc::ENVELOPE_BYTES_MAX;
use protocol::rpc::raft_client::RaftClient;
use protocol::transport::tls::GRPC_ALPN;
use protocol::transport::{GrpcTarget, NodeTls, TransportError};
use tonic::transport::Channel;

/// A dead machine's address must not hold up an election.
const DIAL_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) tls: NodeTls,
}

impl Dialer {
    /// A client that dials at its first call and whenever the connection is gone; whoever answers
    /// must prove to be `node`.
    pub(crate) fn client(
        &self,
        node: NodeId,
        address: &str,
    ) -> Result<RaftClient<Channel>, TransportError> {
        let tls = Arc::new(self.tls.client(Some(node), GRPC_ALPN)?);
        let target = GrpcTarget { address: address.to_owned(), tls, dial_timeout: DIAL_TIMEOUT };
        let client = RaftClient::new(target.connect_lazily()?);
        Ok(client
            .max_decoding_message_size(ENVELOPE_BYTES_MAX)
            .max_encoding_message_size(ENVELOPE_BYTES_MAX))
    }
}
