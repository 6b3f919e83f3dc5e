//! What a node's certificate says: cluster, role and node id in a URI.

use std::fmt;

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

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
