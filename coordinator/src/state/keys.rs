//! API keys: only their hash is kept, with a prefix to recognise them by.

use protocol::admin::KeyRole;
use protocol::ids::Digest;
use serde::{Deserialize, Serialize};

use super::State;
use super::members::check_name;
use super::outcome::{Outcome, Refusal, RefusalCode};
use super::timestamp::Timestamp;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    /// BLAKE3 of the whole key; a key is 32 random bytes, so no slow hash is needed.
    pub hash: Digest,
    pub role: KeyRole,
    pub prefix: String,
    pub created_at: Timestamp,
}

const KEYS_MAX: usize = 10_000;

impl State {
    pub(super) fn add_key(
        &mut self,
        name: String,
        role: KeyRole,
        hash: Digest,
        prefix: String,
    ) -> Result<Outcome, Refusal> {
        check_name("key name", &name)?;
        let refuse =
            |message: String, hint| Err(Refusal::new(RefusalCode::Precondition, message, hint));
        if self.keys.contains_key(&name) {
            return refuse(format!("there is a key named `{name}`"), "choose another name");
        }
        if self.keys.len() >= KEYS_MAX {
            return refuse(format!("there are {KEYS_MAX} keys already"), "");
        }
        let created_at = self.clock;
        self.keys.insert(name, ApiKey { hash, role, prefix, created_at });
        Ok(Outcome::Done)
    }
}
