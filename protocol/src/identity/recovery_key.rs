//! The cluster's recovery key: shown once as text when a cluster is founded, kept on paper.
//!
//! With it the CA opens on a new machine, and a snapshot of the state. The cluster itself keeps
//! only its public half.

use std::fmt;
use std::str::FromStr;

use data_encoding::{Encoding, Specification};
use zeroize::Zeroizing;

use super::error::IdentityError;
use super::sealed::{SealingPublic, SealingSecret};

const PREFIX: &str = "trr1-";
const SECRET_BYTES: usize = 32;
/// One mistyped key in 16 million passes; it then opens nothing.
const CHECK_BYTES: usize = 3;
const GROUP: usize = 4;

/// `trr1-` and 14 groups of four characters: 32 random bytes and a checksum, in letters and
/// digits that are not mistaken for one another.
pub struct RecoveryKey(SealingSecret);

impl RecoveryKey {
    pub fn generate() -> Self {
        Self(SealingSecret::generate())
    }

    /// What the cluster keeps, to seal with.
    pub fn public(&self) -> SealingPublic {
        self.0.public()
    }

    /// What opens.
    pub fn secret(&self) -> &SealingSecret {
        &self.0
    }

    /// The text to be shown once; this is the secret itself.
    pub fn expose(&self) -> Zeroizing<String> {
        let secret = self.0.bytes();
        let bytes = Zeroizing::new([&secret[..], &checksum(secret)].concat());
        let code = Zeroizing::new(alphabet().encode(&bytes));
        let groups: Vec<_> = code
            .as_bytes()
            .chunks(GROUP)
            .map(|group| std::str::from_utf8(group).unwrap_or_default())
            .collect();
        Zeroizing::new(format!("{PREFIX}{}", groups.join("-")))
    }
}

/// Hides the secret.
impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoveryKey({})", self.public())
    }
}

/// Case, dashes and spaces do not matter, nor `O` for `0` and `I` or `L` for `1`.
impl FromStr for RecoveryKey {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let bad = |reason: &str| IdentityError::BadRecoveryKey { reason: reason.to_owned() };
        let text = text.trim();
        let start = text.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX));
        let start = start.ok_or_else(|| bad("begins otherwise"))?;
        let decoded = alphabet().decode(&text.as_bytes()[start.len()..]).map(Zeroizing::new);
        let bytes = decoded.map_err(|_| bad("has a character or a length that it cannot have"))?;
        if bytes.len() != SECRET_BYTES + CHECK_BYTES {
            let reason = format!("holds {} bytes, not {}", bytes.len(), SECRET_BYTES + CHECK_BYTES);
            return Err(bad(&reason));
        }
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        secret.copy_from_slice(&bytes[..SECRET_BYTES]);
        if checksum(&secret) != bytes[SECRET_BYTES..] {
            return Err(bad("is mistyped: its checksum does not fit"));
        }
        Ok(Self(SealingSecret::from_bytes(&secret)))
    }
}

fn checksum(secret: &[u8; SECRET_BYTES]) -> [u8; CHECK_BYTES] {
    let hash = blake3::derive_key("trireme 2026-11 recovery key checksum", secret);
    [hash[0], hash[1], hash[2]]
}

/// Crockford's base 32: no `I`, `L`, `O`, `U`.
fn alphabet() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    specification.translate.from.push_str("abcdefghjkmnpqrstvwxyzOoIiLl");
    specification.translate.to.push_str("ABCDEFGHJKMNPQRSTVWXYZ001111");
    specification.ignore.push_str("- ");
    specification.encoding().expect("32 symbols, each once, and translations to them")
}

#[cfg(test)]
mod tests {
    use super::super::sealed;
    use super::*;

    #[test]
    fn a_key_reads_back_as_people_type_it_and_opens_what_was_sealed_to_it() {
        let key = RecoveryKey::generate();
        let sealed = sealed::seal(b"the CA", &[key.public()]).expect("sealed");
        let text = key.expose();
        let groups = text.split('-').collect::<Vec<_>>();
        assert!(groups.len() == 15 && groups[1..].iter().all(|g| g.len() == 4), "{}", *text);
        let code = text[PREFIX.len()..].replace('0', "o").replace('1', "L").replace('-', " ");
        for text in [text.to_string(), format!("  trr1-{}\n", code.to_lowercase())] {
            let again: RecoveryKey = text.parse().expect("reads back");
            assert_eq!(&sealed::open(&sealed, again.secret()).expect("opens")[..], b"the CA");
        }
    }

    #[test]
    fn a_mistyped_key_says_so() {
        let text = RecoveryKey::generate().expose();
        let check = |text: String, expected: &str| {
            let error = text.parse::<RecoveryKey>().expect_err("mistyped").to_string();
            assert!(error.contains(expected), "{error}");
        };
        let last = text.chars().last().expect("long");
        let other = if last == 'A' { "B" } else { "A" };
        check(format!("{}{other}", &text[..text.len() - 1]), "checksum");
        check(text[..text.len() - 10].to_owned(), "bytes");
        check(text.replacen("trr1", "trr2", 1), "begins otherwise");
        check(format!("{}!", &text[..text.len() - 1]), "a character");
        check(String::new(), "begins otherwise");
        assert!(!format!("{:?}", text.parse::<RecoveryKey>()).contains(&text[10..20]));
    }
}
