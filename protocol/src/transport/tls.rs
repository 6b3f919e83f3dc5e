//! TLS 1.3 configurations made from a node's identity, with one crypto provider (ring).

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::server::ResolvesServerCert;
use rustls::{ClientConfig, ServerConfig};

use super::credentials::Current;
use super::error::TransportError;
use super::verifier::{NodeClientVerifier, NodeServerVerifier, Trust};
use crate::identity::{CaFingerprint, Identity, PeerIdentity};
use crate::ids::NodeId;

/// Application protocol of the QUIC data plane.
pub const QUIC_ALPN: &[u8] = b"trireme/1";
/// Application protocol of the sockets that ranks of a group poll themselves.
pub const DIRECT_ALPN: &[u8] = b"trireme-direct/1";
/// gRPC is HTTP/2.
pub const GRPC_ALPN: &[u8] = b"h2";
const TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Who a node is and whom it trusts; cheap to clone. What it hands out follows `replace` and
/// `revoke` at once, also what was made before.
#[derive(Clone)]
pub struct NodeTls {
    peer: Arc<PeerIdentity>,
    current: Arc<Current>,
}

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    Required,
    /// A joiner has none yet; every call but `Join` must then be refused by its handler.
    Optional,
}

impl NodeTls {
    pub fn new(identity: &Identity) -> Result<Self, TransportError> {
        let current = Arc::new(Current::new(identity, provider())?);
        Ok(Self { peer: Arc::new(identity.peer.clone()), current })
    }

    /// This node itself.
    pub fn own(&self) -> &PeerIdentity {
        &self.peer
    }

    /// From the next handshake on the same node shows and trusts what `identity` says.
    pub fn replace(&self, identity: &Identity) -> Result<(), TransportError> {
        self.current.replace(identity)
    }

    /// From now on these nodes are refused, whatever their certificates say.
    pub fn revoke(&self, nodes: BTreeSet<NodeId>) {
        self.current.revoke(nodes);
    }

    pub fn is_revoked(&self, node: NodeId) -> bool {
        self.current.is_revoked(node)
    }

    /// For a server of nodes' gRPC (`GRPC_ALPN`) or QUIC (`QUIC_ALPN`).
    pub fn server(
        &self,
        clients: ClientCertificate,
        alpn: &[u8],
    ) -> Result<ServerConfig, TransportError> {
        let verifier = NodeClientVerifier {
            current: Arc::clone(&self.current),
            cluster: self.peer.cluster.clone(),
            mandatory: clients == ClientCertificate::Required,
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(self.current.provider()))
            .with_protocol_versions(TLS13)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![alpn.to_vec()];
        // A resumed session would skip the certificate check of a node that was removed meanwhile.
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// For dialling a node, and that very node where `expected` names it.
    pub fn client(
        &self,
        expected: Option<NodeId>,
        alpn: &[u8],
    ) -> Result<ClientConfig, TransportError> {
        let (current, cluster) = (Arc::clone(&self.current), self.peer.cluster.clone());
        let algorithms = current.provider().signature_verification_algorithms;
        let trust = Trust::Member { current, cluster, expected };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(self.current.provider()))
            .with_protocol_versions(TLS13)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NodeServerVerifier { trust, algorithms }))
            .with_client_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesClientCert>);
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// For a joiner without a certificate: trusts exactly the CA that its token pins.
pub fn joining_client(fingerprint: CaFingerprint) -> Result<ClientConfig, TransportError> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let trust = Trust::PinnedCa(fingerprint);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(TLS13)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NodeServerVerifier { trust, algorithms }))
        .with_no_client_auth();
    config.alpn_protocols = vec![GRPC_ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
