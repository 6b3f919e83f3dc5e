//! The API's certificate, signed by the cluster's CA for the names that it is reached by.

use std::net::SocketAddr;
use std::sync::Arc;

use protocol::identity::{CertificateFacts, NodeKey};
use protocol::transport::ApiCertificate;
use tokio_rustls::TlsAcceptor;

use super::authority::Authority;
use crate::error::CoordinatorError;

pub(crate) struct ApiTls {
    key: NodeKey,
    names: Vec<String>,
    certificate: Arc<ApiCertificate>,
    facts: CertificateFacts,
}

impl ApiTls {
    pub(crate) fn new(
        authority: &Authority,
        trusted_pem: &str,
        advertised: &str,
        listening: SocketAddr,
    ) -> Result<Self, CoordinatorError> {
        let host = advertised.rsplit_once(':').map_or(advertised, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut names = vec![host.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()];
        if !listening.ip().is_unspecified() {
            names.push(listening.ip().to_string());
        }
        names.sort_unstable();
        names.dedup();
        let key = NodeKey::generate()?;
        let chain = authority.sign_api(&key, &names, trusted_pem)?;
        let certificate = ApiCertificate::new(&chain, &key.to_pem())?;
        let facts = CertificateFacts::read(&chain, trusted_pem)?;
        Ok(Self { key, names, certificate, facts })
    }

    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, CoordinatorError> {
        Ok(TlsAcceptor::from(Arc::new(self.certificate.server()?)))
    }

    pub(crate) fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    pub(crate) fn renew(
        &mut self,
        authority: &Authority,
        trusted_pem: &str,
    ) -> Result<(), CoordinatorError> {
        let chain = authority.sign_api(&self.key, &self.names, trusted_pem)?;
        self.certificate.replace(&chain, &self.key.to_pem())?;
        self.facts = CertificateFacts::read(&chain, trusted_pem)?;
        Ok(())
    }
}
