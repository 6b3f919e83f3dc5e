//! An API key as its owner sees it, once; the state keeps hash and prefix.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::ids::Digest;
use rand::TryRngCore;

use crate::error::CoordinatorError;

/// `sk-` is what client libraries and secret scanners look for.
const PREFIX: &str = "sk-trireme-";
const SECRET_BYTES: usize = 32;
/// Characters after the prefix that are kept to recognise a key.
const SHOWN_CHARS: usize = 4;

pub(crate) struct ApiKey(String);

impl ApiKey {
    pub(crate) fn generate() -> Result<Self, CoordinatorError> {
        let mut secret = [0; SECRET_BYTES];
        rand::rngs::OsRng
            .try_fill_bytes(&mut secret)
            .map_err(|error| CoordinatorError::NoRandomness { reason: error.to_string() })?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret))))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    pub(crate) fn prefix(&self) -> String {
        self.0.chars().take(PREFIX.len() + SHOWN_CHARS).collect()
    }
}
