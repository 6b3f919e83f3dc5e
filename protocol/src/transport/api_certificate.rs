//! The certificate of a coordinator's client API, swapped when it is renewed.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::error::TransportError;
use super::tls::provider;
use crate::identity::IdentityError;
use crate::identity::ca::certificates_of;

/// The cluster's or the user's certificate; no client certificates.
pub struct ApiCertificate {
    current: RwLock<Arc<CertifiedKey>>,
}

impl ApiCertificate {
    pub fn new(chain_pem: &str, key_pem: &str) -> Result<Arc<Self>, TransportError> {
        Ok(Arc::new(Self { current: RwLock::new(certified(chain_pem, key_pem)?) }))
    }

    /// Shown from the next handshake on.
    pub fn replace(&self, chain_pem: &str, key_pem: &str) -> Result<(), TransportError> {
        let certified = certified(chain_pem, key_pem)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }

    /// TLS 1.2 too, because client libraries are not ours.
    pub fn server(self: &Arc<Self>) -> Result<ServerConfig, TransportError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl fmt::Debug for ApiCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiCertificate")
    }
}

impl ResolvesServerCert for ApiCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn certified(chain_pem: &str, key_pem: &str) -> Result<Arc<CertifiedKey>, TransportError> {
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|error| IdentityError::BadKey { reason: error.to_string() })?;
    let key = provider().key_provider.load_private_key(key)?;
    Ok(Arc::new(CertifiedKey::new(certificates_of(chain_pem)?, key)))
}
