//! A node's key pair (ECDSA P-256): its node id, and the request for its certificate.

use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::error::IdentityError;
use super::sealed::SealingSecret;
use crate::ids::NodeId;

/// Fixed for ever: with another one no node opens its own files.
const SEALING_CONTEXT: &str = "trireme 2026-11 node key to sealing key";

/// The secret that a node's identity rests on; made once, never leaves the machine.
///
/// P-256 because every client library accepts it, also in a browser; ed25519 is not there yet.
pub struct NodeKey {
    pair: KeyPair,
}

impl NodeKey {
    pub fn generate() -> Result<Self, IdentityError> {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        Ok(Self { pair })
    }

    pub fn from_pem(pem: &str) -> Result<Self, IdentityError> {
        let pair = KeyPair::from_pem(pem)
            .map_err(|error| IdentityError::BadKey { reason: error.to_string() })?;
        Ok(Self { pair })
    }

    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.pair.serialize_pem())
    }

    pub fn node_id(&self) -> NodeId {
        node_id_of(&self.pair.subject_public_key_info())
    }

    /// Certificate signing request, PEM. It asks for nothing: role, cluster and validity are the
    /// CA's to decide.
    pub fn signing_request(&self) -> Result<String, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.node_id().to_string());
        Ok(params.serialize_request(&self.pair)?.pem()?)
    }

    /// What opens files that are sealed for this node: another key of the same secret, as a key
    /// that signs must not be used for anything else.
    pub fn sealing_secret(&self) -> SealingSecret {
        let secret = Zeroizing::new(self.pair.serialize_der());
        SealingSecret::from_bytes(&Zeroizing::new(blake3::derive_key(SEALING_CONTEXT, &secret)))
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    pub(super) fn into_pair(self) -> KeyPair {
        self.pair
    }
}

/// The id that belongs to a public key in SubjectPublicKeyInfo form (DER).
pub(super) fn node_id_of(public_key_info: &[u8]) -> NodeId {
    NodeId(Sha256::digest(public_key_info).into())
}
