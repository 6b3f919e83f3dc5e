//! Join tokens: where a cluster is, which CA it must prove, and the one-time secret that it asks.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::ca::CaFingerprint;
use super::error::IdentityError;
use crate::ids::Digest;

const PREFIX: &str = "trj1";
const SECRET_BYTES: usize = 32;
const ADDRESSES_MAX: usize = 16;

/// `trj1.<ca sha256>.<secret>@host:port[,host:port...]`.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub ca: CaFingerprint,
    pub secret: JoinSecret,
    /// Coordinators' node traffic, `host:port`; at least one.
    pub addresses: Vec<String>,
}

impl JoinToken {
    /// A token with a fresh secret.
    pub fn new(ca: CaFingerprint, addresses: Vec<String>) -> Result<Self, IdentityError> {
        check_addresses(&addresses)?;
        Ok(Self { ca, secret: JoinSecret::generate()?, addresses })
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses.join(",");
        write!(f, "{PREFIX}.{}.{}@{addresses}", self.ca, self.secret.expose())
    }
}

/// Hides the secret.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({:?}, {:?})", self.ca, self.addresses)
    }
}

impl FromStr for JoinToken {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let bad = |part, reason: &str| IdentityError::BadToken { part, reason: reason.to_owned() };
        let (head, addresses) =
            text.trim().split_once('@').ok_or_else(|| bad("address", "is missing (no `@`)"))?;
        let parts: Vec<_> = head.split('.').collect();
        let [prefix, ca, secret] = parts[..] else {
            return Err(bad("format", "is not three parts before the `@`"));
        };
        if prefix != PREFIX {
            return Err(bad("version", &format!("is `{}`", clip(prefix))));
        }
        let addresses: Vec<_> = addresses.split(',').map(str::to_owned).collect();
        check_addresses(&addresses)?;
        Ok(Self { ca: ca.parse()?, secret: secret.parse()?, addresses })
    }
}

/// 32 random bytes as URL-safe base64. A coordinator keeps only `hash()`.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinSecret(Zeroizing<String>);

impl JoinSecret {
    pub fn generate() -> Result<Self, IdentityError> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        rand::rngs::OsRng
            .try_fill_bytes(&mut bytes[..])
            .map_err(|error| IdentityError::NoRandomness { reason: error.to_string() })?;
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(&bytes[..]))))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> Digest {
        secret_hash(&self.0)
    }
}

impl FromStr for JoinSecret {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new);
        if bytes.is_ok_and(|bytes| bytes.len() == SECRET_BYTES) {
            return Ok(Self(Zeroizing::new(text.to_owned())));
        }
        let found = text.chars().count();
        let reason = format!("is not 43 characters of URL-safe base64 ({found} given)");
        Err(IdentityError::BadToken { part: "secret", reason })
    }
}

/// What is stored of a secret: BLAKE3 of its text. The secret has 256 random bits, so a slow hash
/// would add nothing.
pub fn secret_hash(secret: &str) -> Digest {
    Digest::of(secret.as_bytes())
}

/// Compares in constant time.
pub fn hashes_equal(a: &Digest, b: &Digest) -> bool {
    a.0.ct_eq(&b.0).into()
}

fn check_addresses(addresses: &[String]) -> Result<(), IdentityError> {
    let bad = |reason| Err(IdentityError::BadToken { part: "address", reason });
    if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
        return bad(format!("list has {} entries, not 1 to {ADDRESSES_MAX}", addresses.len()));
    }
    for address in addresses {
        let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) || address.contains(char::is_whitespace) {
            return bad(format!("`{}` is not host:port", clip(address)));
        }
    }
    Ok(())
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> JoinToken {
        let addresses = vec!["10.0.0.11:7443".to_owned(), "[::1]:7443".to_owned()];
        JoinToken::new(CaFingerprint([0xab; 32]), addresses).expect("valid")
    }

    #[test]
    fn a_token_reads_back_from_its_text() {
        let token = sample();
        assert_eq!(format!("  {token}\n").parse::<JoinToken>().ok(), Some(token));
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let token = sample();
        assert!(!format!("{token:?}").contains(token.secret.expose()));
    }

    #[test]
    fn each_damaged_part_is_named() {
        let good = sample().to_string();
        let check = |text: String, expected: &str| {
            let error = text.parse::<JoinToken>().expect_err("damaged").to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check(good.replace("trj1", "trj9"), "`trj9`");
        check(good.replace("abab", "ab"), "CA fingerprint");
        check(good.replace("abab", "zzzz"), "CA fingerprint");
        check(good.replace('@', "A@"), "secret");
        check(good.replace('@', ""), "no `@`");
        check(good.replace(":7443", ":0"), "host:port");
        check(good.replace(":7443", ""), "host:port");
        check(good.replacen('.', "", 1), "three parts");
        check(String::new(), "no `@`");
    }

    #[test]
    fn only_the_same_secret_has_the_stored_hash() {
        let (a, b) = (sample().secret, sample().secret);
        assert!(hashes_equal(&a.hash(), &secret_hash(a.expose())));
        assert!(!hashes_equal(&a.hash(), &b.hash()));
    }
}
