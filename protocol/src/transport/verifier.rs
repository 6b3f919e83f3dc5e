//! Certificate checks between nodes: the chain must end at the cluster's CA and name a node of the
//! cluster; host names play no part, because nodes move between addresses.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::credentials::Current;
use crate::identity::{CaFingerprint, IdentityError, PeerIdentity};
use crate::ids::NodeId;

/// Checks a server against what the dialler knows of the cluster.
#[derive(Debug)]
pub(super) struct NodeServerVerifier {
    pub(super) trust: Trust,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// Which server is the right one.
#[derive(Debug)]
pub(super) enum Trust {
    /// A node of `cluster`, and that very node where the caller knows it.
    Member { current: Arc<Current>, cluster: String, expected: Option<NodeId> },
    /// Before joining: a node whose chain holds the CA that the join token pins.
    PinnedCa(CaFingerprint),
}

/// Checks a client: a node of `cluster`; none at all only where `mandatory` is off.
#[derive(Debug)]
pub(super) struct NodeClientVerifier {
    pub(super) current: Arc<Current>,
    pub(super) cluster: String,
    pub(super) mandatory: bool,
}

#[derive(thiserror::Error)]
pub(super) enum Refusal {
    #[error("certificate is of cluster `{found}`, expected `{expected}`")]
    OtherCluster { found: String, expected: String },
    #[error("certificate is of another cluster: this cluster's CA did not sign it")]
    ForeignCa,
    #[error("certificate is of node {found}, expected {expected}")]
    OtherNode { found: String, expected: String },
    #[error("the CA is not the one that the join token names: this is another cluster")]
    OtherCa,
    #[error("{0}")]
    Identity(#[from] IdentityError),
}

/// The sentence: rustls and quinn show what is inside of their errors in this form.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Trust {
    fn roots(&self, chain: &[CertificateDer<'_>]) -> Result<Arc<RootCertStore>, Error> {
        let fingerprint = match self {
            Self::Member { current, .. } => {
                return Ok(Arc::clone(&current.credentials().roots));
            }
            Self::PinnedCa(fingerprint) => fingerprint,
        };
        let ca = chain.iter().find(|certificate| CaFingerprint::of(certificate) == *fingerprint);
        let mut roots = RootCertStore::empty();
        roots.add(ca.ok_or_else(|| refused(Refusal::OtherCa))?.clone().into_owned())?;
        Ok(Arc::new(roots))
    }

    fn check_node(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let Self::Member { current, cluster, expected } = self else {
            let node = PeerIdentity::from_certificate(certificate);
            return node.map(|_| ()).map_err(|error| refused(error.into()));
        };
        let peer = node_of(certificate, cluster, current)?;
        match expected {
            Some(expected) if *expected != peer.node => {
                let (found, expected) = (peer.node.short(), expected.short());
                Err(refused(Refusal::OtherNode { found, expected }))
            }
            _ => Ok(()),
        }
    }
}

impl ServerCertVerifier for NodeServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let roots = self.trust.roots(intermediates)?;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        // While the CA changes, the old one vouches for the new one in between.
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, intermediates, now, algorithms)
            .map_err(by_cluster)?;
        self.trust.check_node(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for NodeClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Every node has one certificate: no choice to be helped with.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let credentials = self.current.credentials();
        let verified = credentials.clients.verify_client_cert(end_entity, intermediates, now);
        let verified = verified.map_err(by_cluster)?;
        node_of(end_entity, &self.cluster, &self.current)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.current.provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.provider().signature_verification_algorithms.supported_schemes()
    }
}

fn node_of(
    certificate: &CertificateDer<'_>,
    cluster: &str,
    current: &Current,
) -> Result<PeerIdentity, Error> {
    let peer =
        PeerIdentity::from_certificate(certificate).map_err(|error| refused(error.into()))?;
    if peer.cluster != cluster {
        let expected = cluster.to_owned();
        return Err(refused(Refusal::OtherCluster { found: peer.cluster, expected }));
    }
    if current.is_revoked(peer.node) {
        // The other side is told by an alert of its own, and so knows that it was removed.
        tracing::warn!(%peer, "refused: this node was removed from the cluster");
        return Err(Error::InvalidCertificate(CertificateError::Revoked));
    }
    Ok(peer)
}

/// Two clusters of one name differ in the signature, two of different names in the issuer; for the
/// operator both are another cluster.
fn by_cluster(error: Error) -> Error {
    use CertificateError::{BadSignature, UnknownIssuer};
    match error {
        Error::InvalidCertificate(UnknownIssuer | BadSignature) => refused(Refusal::ForeignCa),
        other => other,
    }
}

fn refused(refusal: Refusal) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
}
