//! What a node's certificate says: cluster, role and node id in a URI.

use std::fmt;

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::ca::{self, CaFingerprint};
use super::error::IdentityError;
use super::node_key::node_id_of;
use crate::control::Role;
use crate::ids::NodeId;

const SCHEME: &str = "trireme://";

/// Who is at the other end of a connection, as its verified certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    pub cluster: String,
    pub role: Role,
    pub node: NodeId,
}

impl PeerIdentity {
    /// Reads the identity of a certificate (DER). The chain is verified elsewhere; here the node
    /// id must be the one of the certificate's own key.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let identity = Self::from_uri(&node_uri_of(certificate)?)?;
        let actual = node_id_of_certificate(certificate)?;
        if actual != identity.node {
            let (claimed, actual) = (identity.node.short(), actual.short());
            return Err(IdentityError::KeyMismatch { claimed, actual });
        }
        Ok(identity)
    }

    /// `trireme://<cluster>/<role>/<node id>`.
    pub fn to_uri(&self) -> String {
        format!("{SCHEME}{}/{}/{}", self.cluster, self.role.name(), self.node)
    }

    fn from_uri(uri: &str) -> Result<Self, IdentityError> {
        let bad =
            |reason| IdentityError::BadNodeUri { uri: uri.chars().take(200).collect(), reason };
        let path = uri.strip_prefix(SCHEME).ok_or_else(|| bad("it starts otherwise"))?;
        let parts: Vec<_> = path.split('/').collect();
        let [cluster, role, node] = parts[..] else {
            return Err(bad("it has not three parts"));
        };
        check_cluster_name(cluster)?;
        let role = [Role::Worker, Role::Coordinator]
            .into_iter()
            .find(|known| known.name() == role)
            .ok_or_else(|| bad("the role is neither worker nor coordinator"))?;
        let node = node.parse().map_err(|_| bad("the node id is not 64 hexadecimal digits"))?;
        Ok(Self { cluster: cluster.to_owned(), role, node })
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.role.name(), self.node.short(), self.cluster)
    }
}

/// What others want to know of a node's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// Of the CA that signed it; `None` when that one is not trusted.
    pub ca: Option<CaFingerprint>,
    /// Seconds since 1970, UTC.
    pub issued_at: u64,
    pub expires_at: u64,
}

impl CertificateFacts {
    /// Reads the first certificate of a PEM text; `ca_pem` holds the CAs that may have signed it.
    pub fn read(certificate_pem: &str, ca_pem: &str) -> Result<Self, IdentityError> {
        let der = ca::certificate_of(certificate_pem)?;
        let parsed = parse(&der)?;
        let signer = authority_key_id(&parsed);
        let mut ca = None;
        for authority in ca::certificates_of(ca_pem)? {
            if signer.is_some() && subject_key_id(&parse(&authority)?) == signer {
                ca = Some(CaFingerprint::of(&authority));
                break;
            }
        }
        let seconds = |time: ASN1Time| time.timestamp().max(0) as u64;
        let (from, until) = (parsed.validity().not_before, parsed.validity().not_after);
        let issued_at = seconds(from) + ca::BACKDATED.as_secs();
        Ok(Self { ca, issued_at, expires_at: seconds(until) })
    }

    /// When the certificate is to be renewed: two thirds of its time are over.
    pub fn renewal_due_at(&self) -> u64 {
        self.issued_at + self.expires_at.saturating_sub(self.issued_at) * 2 / 3
    }
}

fn authority_key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => {
            id.key_identifier.as_ref().map(|id| id.0.to_vec())
        }
        _ => None,
    })
}

fn subject_key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}

pub(super) fn check_cluster_name(name: &str) -> Result<(), IdentityError> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(letters);
    if good {
        Ok(())
    } else {
        Err(IdentityError::BadClusterName { name: name.chars().take(80).collect() })
    }
}

pub(super) fn cluster_uri(cluster: &str) -> String {
    format!("{SCHEME}{cluster}")
}

/// The cluster that a CA certificate is for.
pub(super) fn cluster_of_ca(certificate: &CertificateDer<'_>) -> Result<String, IdentityError> {
    let uri = node_uri_of(certificate)?;
    let cluster = uri.strip_prefix(SCHEME).unwrap_or_default().to_owned();
    check_cluster_name(&cluster)?;
    Ok(cluster)
}

/// The id of the key in a certificate, whatever the certificate says.
pub(super) fn node_id_of_certificate(
    certificate: &CertificateDer<'_>,
) -> Result<NodeId, IdentityError> {
    Ok(node_id_of(parse(certificate)?.public_key().raw))
}

fn node_uri_of(certificate: &CertificateDer<'_>) -> Result<String, IdentityError> {
    let parsed = parse(certificate)?;
    let names = parsed.subject_alternative_name().map_err(unreadable)?;
    let uris: Vec<_> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some(*uri),
            _ => None,
        })
        .collect();
    match uris[..] {
        [uri] => Ok(uri.to_owned()),
        _ => Err(IdentityError::NotANode),
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, IdentityError> {
    X509Certificate::from_der(certificate).map(|(_, parsed)| parsed).map_err(unreadable)
}

fn unreadable(error: impl fmt::Display) -> IdentityError {
    IdentityError::BadCertificate { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_with_an_unknown_role_or_a_missing_part_names_what_is_wrong() {
        let node = NodeId([7; 32]);
        let check = |uri: String, expected: &str| {
            let error = PeerIdentity::from_uri(&uri).expect_err("bad uri");
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(format!("trireme://lab/admin/{node}"), "neither worker nor coordinator");
        check("trireme://lab/worker".into(), "three parts");
        check("trireme://lab/worker/12".into(), "64 hexadecimal");
        check(format!("https://lab/worker/{node}"), "starts otherwise");
        check(format!("trireme://L/worker/{node}"), "not a cluster name");
    }
}
