//! Content that only the holders of certain keys can open (X25519, NaCl sealed boxes).
//!
//! The content is sealed to a key pair made for it alone, and the secret half of that pair to each
//! holder: one primitive, whatever the number of holders and the length of the content.

use std::fmt;
use std::str::FromStr;

use crypto_box::aead::OsRng;
use crypto_box::{PublicKey, SecretKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::IdentityError;

/// Stands in front, with the number of holders behind it.
const MAGIC: &[u8] = b"trireme-sealed-1";
const KEY_BYTES: usize = 32;
/// What sealing adds: the sender's one-time public key and the authenticator.
const SEAL_BYTES: usize = 48;
const HOLDER_BYTES: usize = KEY_BYTES + KEY_BYTES + SEAL_BYTES;
const HOLDERS_MAX: usize = 16;

/// Seals `content` so that each of `holders` can open it; nobody can change it unseen.
pub fn seal(content: &[u8], holders: &[SealingPublic]) -> Result<Vec<u8>, IdentityError> {
    if holders.is_empty() || holders.len() > HOLDERS_MAX {
        return Err(bad("is for 1 to 16 keys"));
    }
    let once = SecretKey::generate(&mut OsRng);
    let secret = Zeroizing::new(once.to_bytes());
    let mut sealed = Vec::with_capacity(
        MAGIC.len() + 1 + holders.len() * HOLDER_BYTES + content.len() + SEAL_BYTES,
    );
    sealed.extend_from_slice(MAGIC);
    sealed.push(holders.len() as u8);
    for holder in holders {
        sealed.extend_from_slice(&holder.0);
        sealed.extend(seal_to(&holder.key(), &secret[..])?);
    }
    sealed.extend(seal_to(&once.public_key(), content)?);
    Ok(sealed)
}

/// The content that was sealed for `secret`, among others.
pub fn open(sealed: &[u8], secret: &SealingSecret) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let rest = sealed.strip_prefix(MAGIC).ok_or_else(|| bad("begins otherwise"))?;
    let (&holders, rest) = rest.split_first().ok_or_else(|| bad("ends early"))?;
    let holders = usize::from(holders);
    if holders > HOLDERS_MAX || rest.len() < holders * HOLDER_BYTES {
        return Err(bad("ends early"));
    }
    let (heads, body) = rest.split_at(holders * HOLDER_BYTES);
    let own = secret.public();
    let head = heads.chunks_exact(HOLDER_BYTES).find(|head| head[..KEY_BYTES] == own.0);
    let head = head.ok_or(IdentityError::SealedForOthers { holders })?;
    let once = Zeroizing::new(unseal(&secret.key(), &head[KEY_BYTES..])?);
    let once: [u8; KEY_BYTES] = once[..].try_into().map_err(|_| bad("holds no key"))?;
    unseal(&SecretKey::from(*Zeroizing::new(once)), body).map(Zeroizing::new)
}

/// The half of a key that others seal to; no secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealingPublic([u8; KEY_BYTES]);

/// The half of a key that opens.
#[derive(Clone)]
pub struct SealingSecret(Zeroizing<[u8; KEY_BYTES]>);

impl SealingPublic {
    fn key(self) -> PublicKey {
        PublicKey::from(self.0)
    }
}

impl SealingSecret {
    pub fn generate() -> Self {
        Self::from_bytes(&SecretKey::generate(&mut OsRng).to_bytes())
    }

    pub(super) fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    pub fn public(&self) -> SealingPublic {
        SealingPublic(*self.key().public_key().as_bytes())
    }

    fn key(&self) -> SecretKey {
        SecretKey::from(*self.0)
    }
}

impl fmt::Display for SealingPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SealingPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPublic({self})")
    }
}

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingSecret")
    }
}

impl FromStr for SealingPublic {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let mut bytes = [0; KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut bytes)
            .map_err(|_| bad("names a key that is not 64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

impl Serialize for SealingPublic {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SealingPublic {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn seal_to(key: &PublicKey, content: &[u8]) -> Result<Vec<u8>, IdentityError> {
    key.seal(&mut OsRng, content).map_err(|_| bad("cannot be made"))
}

fn unseal(key: &SecretKey, sealed: &[u8]) -> Result<Vec<u8>, IdentityError> {
    key.unseal(sealed).map_err(|_| bad("was damaged or changed"))
}

fn bad(reason: &'static str) -> IdentityError {
    IdentityError::BadSeal { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_holder_opens_it_and_nobody_else_does() {
        let (a, b, other) =
            (SealingSecret::generate(), SealingSecret::generate(), SealingSecret::generate());
        for content in [&b""[..], b"key", &[7; 100_000]] {
            let sealed = seal(content, &[a.public(), b.public()]).expect("sealed");
            assert_eq!(&open(&sealed, &a).expect("a holder")[..], content);
            assert_eq!(&open(&sealed, &b).expect("a holder")[..], content);
            let refused = open(&sealed, &other).expect_err("a stranger");
            assert!(matches!(refused, IdentityError::SealedForOthers { holders: 2 }), "{refused}");
        }
        assert!(seal(b"x", &[]).is_err(), "for nobody");
    }

    #[test]
    fn a_changed_or_cut_byte_anywhere_is_noticed() {
        let key = SealingSecret::generate();
        let sealed = seal(b"the content", &[key.public()]).expect("sealed");
        for at in 0..sealed.len() {
            assert!(open(&sealed[..at], &key).is_err(), "cut at {at}");
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&changed, &key).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn a_public_key_reads_back_from_its_text() {
        let public = SealingSecret::generate().public();
        let text = serde_json::to_string(&public).expect("text");
        assert_eq!(serde_json::from_str::<SealingPublic>(&text).expect("reads back"), public);
        assert!(serde_json::from_str::<SealingPublic>("\"12\"").is_err());
    }
}
