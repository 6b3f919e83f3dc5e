//! What a node shows and whom it trusts: swapped as a whole while connections go on.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::error::TransportError;
use crate::identity::ca::certificates_of;
use crate::identity::{Identity, IdentityError};
use crate::ids::NodeId;

/// Every TLS configuration of a node reads this at each handshake.
pub(super) struct Current {
    provider: Arc<CryptoProvider>,
    credentials: RwLock<Arc<Credentials>>,
    revoked: RwLock<Arc<BTreeSet<NodeId>>>,
}

/// Parsed once for many handshakes.
pub(super) struct Credentials {
    /// Node, then the CAs it trusts: a joiner finds the CA that its token pins in the chain.
    certified: Arc<CertifiedKey>,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) clients: Arc<dyn ClientCertVerifier>,
}

impl Current {
    pub(super) fn new(
        identity: &Identity,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TransportError> {
        let credentials = RwLock::new(Arc::new(Credentials::parse(identity, &provider)?));
        Ok(Self { provider, credentials, revoked: RwLock::default() })
    }

    pub(super) fn replace(&self, identity: &Identity) -> Result<(), TransportError> {
        let credentials = Arc::new(Credentials::parse(identity, &self.provider)?);
        *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = credentials;
        Ok(())
    }

    pub(super) fn revoke(&self, nodes: BTreeSet<NodeId>) {
        *self.revoked.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(nodes);
    }

    pub(super) fn is_revoked(&self, node: NodeId) -> bool {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner).contains(&node)
    }

    pub(super) fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }
}

impl Credentials {
    fn parse(identity: &Identity, provider: &Arc<CryptoProvider>) -> Result<Self, TransportError> {
        let mut chain = certificates_of(&identity.certificate_pem)?;
        let authorities = certificates_of(&identity.ca_pem)?;
        let mut roots = RootCertStore::empty();
        for ca in &authorities {
            roots.add(ca.clone())?;
        }
        chain.extend(authorities);
        let roots = Arc::new(roots);
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
        let clients = clients.build().map_err(|e| rustls::Error::General(e.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
            .map_err(|error| IdentityError::BadKey { reason: error.to_string() })?;
        let key = provider.key_provider.load_private_key(key)?;
        Ok(Self { certified: Arc::new(CertifiedKey::new(chain, key)), roots, clients })
    }
}

/// Names nothing of what is inside.
impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.credentials().certified))
    }
}

impl ResolvesClientCert for Current {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.credentials().certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
