//! The cluster's certificate authority: every voter holds its key and can sign.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::certificate::{self, PeerIdentity};
use super::error::IdentityError;
use super::node_key::{NodeKey, node_id_of};
use crate::control::Role;
use crate::ids::NodeId;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// A machine whose clock is behind must still accept a certificate made a second ago.
pub(super) const BACKDATED: Duration = Duration::from_secs(3600);
const CA_VALIDITY: Duration = YEAR.saturating_mul(20);
/// Renewed when two thirds are over, so a node may be off for four months and still come back.
pub const NODE_VALIDITY: Duration = YEAR;

/// Signs the certificates of one cluster.
pub struct ClusterCa {
    cluster: String,
    certificate_pem: String,
    fingerprint: CaFingerprint,
    issuer: Issuer<'static, KeyPair>,
}

impl ClusterCa {
    /// A new cluster's CA. `cluster` stands in every certificate: 1 to 63 of `a-z`, `0-9`, `-`.
    pub fn create(cluster: &str) -> Result<Self, IdentityError> {
        certificate::check_cluster_name(cluster)?;
        let key = NodeKey::generate()?;
        let pem = authority_params(cluster)?.self_signed(key.pair())?.pem();
        Self::from_pem(&pem, &key.to_pem())
    }

    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, IdentityError> {
        let der = certificate_of(certificate_pem)?;
        let cluster = certificate::cluster_of_ca(&der)?;
        let pair = NodeKey::from_pem(key_pem)?.into_pair();
        if certificate::node_id_of_certificate(&der)? != node_id_of(&pair.subject_public_key_info())
        {
            let reason = "it does not belong to the CA certificate".to_owned();
            return Err(IdentityError::BadKey { reason });
        }
        Ok(Self {
            cluster,
            certificate_pem: certificate_pem.to_owned(),
            fingerprint: CaFingerprint::of(&der),
            issuer: Issuer::from_ca_cert_der(&der, pair)?,
        })
    }

    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    pub fn fingerprint(&self) -> CaFingerprint {
        self.fingerprint
    }

    /// This CA as signed by `older`, PEM: who trusts only `older` so trusts what this one signs.
    pub fn vouched_for_by(&self, older: &Self) -> Result<String, IdentityError> {
        let params = authority_params(&self.cluster)?;
        Ok(params.signed_by(self.issuer.key(), &older.issuer)?.pem())
    }

    /// Signs a node's request (PEM); what the request asks for beside its key is ignored.
    pub fn sign_node(&self, csr_pem: &str, role: Role) -> Result<SignedNode, IdentityError> {
        self.sign_node_for(csr_pem, role, NODE_VALIDITY)
    }

    /// Like `sign_node`, valid for `validity` from now (and from an hour before).
    pub fn sign_node_for(
        &self,
        csr_pem: &str,
        role: Role,
        validity: Duration,
    ) -> Result<SignedNode, IdentityError> {
        let csr = CertificateSigningRequestParams::from_pem(csr_pem)
            .map_err(|error| IdentityError::BadRequest { reason: error.to_string() })?;
        let node = node_id_of(&csr.public_key.subject_public_key_info());
        let identity = PeerIdentity { cluster: self.cluster.clone(), role, node };
        let mut params = params(&self.cluster, &node.to_string(), validity);
        params.subject_alt_names = vec![uri(&identity.to_uri())?];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate_pem = params.signed_by(&csr.public_key, &self.issuer)?.pem();
        Ok(SignedNode { node, certificate_pem })
    }

    /// A certificate for the client API of a coordinator, for these host names and addresses. It
    /// names no node, so it opens nothing between nodes.
    pub fn sign_api(
        &self,
        key: &NodeKey,
        names: &[String],
        validity: Duration,
    ) -> Result<String, IdentityError> {
        let common = names.first().map_or("trireme", String::as_str);
        let alternative = CertificateParams::new(names)?.subject_alt_names;
        let mut params = params(&self.cluster, common, validity);
        params.subject_alt_names = alternative;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(params.signed_by(key.pair(), &self.issuer)?.pem())
    }
}

/// The answer to a signing request.
#[derive(Clone, Debug)]
pub struct SignedNode {
    pub node: NodeId,
    pub certificate_pem: String,
}

/// SHA-256 of the CA certificate (DER); what a join token pins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaFingerprint(pub [u8; 32]);

impl CaFingerprint {
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    pub fn of_pem(certificate_pem: &str) -> Result<Self, IdentityError> {
        Ok(Self::of(&certificate_of(certificate_pem)?))
    }

    /// Whether it is the one of a certificate in this PEM text.
    pub fn is_in(&self, ca_pem: &str) -> Result<bool, IdentityError> {
        Ok(certificates_of(ca_pem)?.iter().any(|certificate| Self::of(certificate) == *self))
    }

    /// Its beginning, for people and file names.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..8])
    }
}

impl fmt::Display for CaFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for CaFingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CaFingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for CaFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaFingerprint({})", hex::encode(&self.0[..4]))
    }
}

impl FromStr for CaFingerprint {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdentityError::BadToken {
            part: "CA fingerprint",
            reason: format!("is not 64 hexadecimal digits but {} characters", text.chars().count()),
        })?;
        Ok(Self(bytes))
    }
}

/// The first certificate of a PEM text.
pub fn certificate_of(pem: &str) -> Result<CertificateDer<'static>, IdentityError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| IdentityError::BadCertificate { reason: error.to_string() })
}

/// All certificates of a PEM text; at least one.
pub fn certificates_of(pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let bad = |reason: String| IdentityError::BadCertificate { reason };
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match list {
        Ok(list) if list.is_empty() => Err(bad("the PEM text holds no certificate".into())),
        Ok(list) => Ok(list),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn authority_params(cluster: &str) -> Result<CertificateParams, IdentityError> {
    let mut params = params(cluster, &format!("Trireme cluster {cluster}"), CA_VALIDITY);
    // One CA may stand between: the next one, while nodes change from one to the other.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![uri(&certificate::cluster_uri(cluster))?];
    Ok(params)
}

fn params(cluster: &str, common_name: &str, validity: Duration) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut params = CertificateParams::default();
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now + validity;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, cluster);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.use_authority_key_identifier_extension = true;
    params
}

fn uri(text: &str) -> Result<SanType, IdentityError> {
    Ok(SanType::URI(Ia5String::try_from(text.to_owned())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_cluster_and_node_read_back_from_a_signed_certificate() {
        let ca = ClusterCa::create("lab").expect("valid name");
        let key = NodeKey::generate().expect("key");
        for role in [Role::Worker, Role::Coordinator] {
            let csr = key.signing_request().expect("request");
            let signed = ca.sign_node(&csr, role).expect("signed");
            let der = certificate_of(&signed.certificate_pem).expect("certificate");
            let peer = PeerIdentity::from_certificate(&der).expect("a node");
            assert_eq!(peer, PeerIdentity { cluster: "lab".into(), role, node: key.node_id() });
            assert_eq!(signed.node, key.node_id());
        }
    }

    #[test]
    fn a_ca_reads_back_from_its_files_and_keeps_its_fingerprint() {
        let ca = ClusterCa::create("lab").expect("valid name");
        let again = ClusterCa::from_pem(ca.certificate_pem(), &ca.key_pem()).expect("reads back");
        assert_eq!((again.cluster(), again.fingerprint()), ("lab", ca.fingerprint()));
        let other = ClusterCa::create("lab").expect("valid name");
        assert_ne!(other.fingerprint(), ca.fingerprint());
        assert!(ClusterCa::from_pem(ca.certificate_pem(), &other.key_pem()).is_err());
    }

    #[test]
    fn a_name_that_would_not_fit_a_uri_is_refused() {
        for name in ["", "Lab", "a/b", "1lab", "lab ", &"x".repeat(64)] {
            assert!(ClusterCa::create(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_request_with_a_broken_signature_is_refused() {
        let ca = ClusterCa::create("lab").expect("valid name");
        let csr = NodeKey::generate().and_then(|key| key.signing_request()).expect("request");
        let at = csr.len() / 2;
        let other = if csr.as_bytes()[at] == b'A' { "B" } else { "A" };
        let bad = format!("{}{other}{}", &csr[..at], &csr[at + 1..]);
        assert!(ca.sign_node(&bad, Role::Worker).is_err());
        assert!(ca.sign_node("no request", Role::Worker).is_err());
    }

    #[test]
    fn an_api_certificate_is_no_node() {
        let ca = ClusterCa::create("lab").expect("valid name");
        let key = NodeKey::generate().expect("key");
        let pem = ca.sign_api(&key, &["10.0.0.11".into(), "a1.lan".into()], YEAR).expect("signed");
        let der = certificate_of(&pem).expect("certificate");
        assert!(matches!(PeerIdentity::from_certificate(&der), Err(IdentityError::NotANode)));
    }
}
