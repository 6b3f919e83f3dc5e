//! TLS 1.3 configurations made from a node's identity, with one crypto provider (ring).

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::error::TransportError;
use super::verifier::{NodeClientVerifier, NodeServerVerifier, Trust};
use crate::identity::{CaFingerprint, Identity, IdentityError, PeerIdentity};
use crate::ids::NodeId;

/// Application protocol of the QUIC data plane.
pub const QUIC_ALPN: &[u8] = b"trireme/1";
/// Application protocol of the sockets that ranks of a group poll themselves.
pub const DIRECT_ALPN: &[u8] = b"trireme-direct/1";
/// gRPC is HTTP/2.
pub const GRPC_ALPN: &[u8] = b"h2";
const TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A node's certificate chain, key and trust, parsed once; cheap to clone.
#[derive(Clone)]
pub struct NodeTls {
    inner: Arc<Parsed>,
}

struct Parsed {
    peer: PeerIdentity,
    /// Node, then CA: a joiner finds the CA that its token pins in the chain.
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
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
        let mut chain = certificates(&identity.certificate_pem)?;
        let authorities = certificates(&identity.ca_pem)?;
        let mut roots = RootCertStore::empty();
        for ca in &authorities {
            roots.add(ca.clone())?;
        }
        chain.extend(authorities);
        let inner = Parsed {
            peer: identity.peer.clone(),
            chain,
            key: private_key(&identity.key_pem)?,
            roots: Arc::new(roots),
            provider: provider(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// This node itself.
    pub fn own(&self) -> &PeerIdentity {
        &self.inner.peer
    }

    /// For a server of nodes' gRPC (`GRPC_ALPN`) or QUIC (`QUIC_ALPN`).
    pub fn server(
        &self,
        clients: ClientCertificate,
        alpn: &[u8],
    ) -> Result<ServerConfig, TransportError> {
        let Parsed { peer, chain, key, roots, provider } = &*self.inner;
        let mandatory = clients == ClientCertificate::Required;
        let verifier = NodeClientVerifier::new(
            Arc::clone(roots),
            Arc::clone(provider),
            peer.cluster.clone(),
            mandatory,
        )?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(TLS13)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(chain.clone(), key.clone_key())?;
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
        let Parsed { peer, chain, key, roots, provider } = &*self.inner;
        let (roots, cluster) = (Arc::clone(roots), peer.cluster.clone());
        let trust = Trust::Member { roots, cluster, expected };
        let algorithms = provider.signature_verification_algorithms;
        let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(TLS13)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NodeServerVerifier { trust, algorithms }))
            .with_client_auth_cert(chain.clone(), key.clone_key())?;
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

/// For the client API: the cluster's or the user's certificate chain, no client certificates,
/// TLS 1.2 allowed because client libraries are not ours.
pub fn api_server(chain_pem: &str, key_pem: &str) -> Result<ServerConfig, TransportError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(certificates(chain_pem)?, private_key(key_pem)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let bad = |reason: String| IdentityError::BadCertificate { reason };
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match list {
        Ok(list) if list.is_empty() => Err(bad("the PEM text holds no certificate".into())),
        Ok(list) => Ok(list),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, IdentityError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| IdentityError::BadKey { reason: error.to_string() })
}
