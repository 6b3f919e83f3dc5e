//! Join tokens: only their hash is known here; each opens the door a stated number of times.

use protocol::control::Role;
use protocol::ids::Digest;
use serde::{Deserialize, Serialize};

use super::State;
use super::outcome::{Outcome, Refusal, RefusalCode};
use super::timestamp::Timestamp;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinToken {
    pub role: Role,
    pub expires_at: Timestamp,
    pub uses_left: u32,
    /// Taken back by an operator.
    #[serde(default)]
    pub revoked: bool,
}

const TOKENS_MAX: usize = 1000;
/// An expired token is remembered for a day, so that its late user learns why it is refused.
const REMEMBERED_SECONDS: u64 = 86_400;
const MAKE_ANOTHER: &str = "make another: trireme cluster join-token";

impl State {
    pub(super) fn add_join_token(
        &mut self,
        hash: Digest,
        role: Role,
        ttl_seconds: u64,
        uses: u32,
    ) -> Result<Outcome, Refusal> {
        if uses == 0 || ttl_seconds == 0 {
            return Err(Refusal::new(
                RefusalCode::InvalidValue,
                format!("a join token of {uses} uses for {ttl_seconds} s opens nothing"),
                "at least one use and one second",
            ));
        }
        let clock = self.clock;
        self.tokens.retain(|_, t| t.expires_at.plus_seconds(REMEMBERED_SECONDS) > clock);
        if self.tokens.len() >= TOKENS_MAX {
            let message = format!("there are {TOKENS_MAX} join tokens already");
            return Err(Refusal::new(RefusalCode::Precondition, message, "wait until some expire"));
        }
        let expires_at = clock.plus_seconds(ttl_seconds);
        self.tokens.insert(hash, JoinToken { role, expires_at, uses_left: uses, revoked: false });
        Ok(Outcome::Done)
    }

    pub(super) fn revoke_tokens(&mut self, hashes: &[Digest]) -> Result<Outcome, Refusal> {
        let known = hashes.iter().find(|hash| !self.tokens.contains_key(*hash));
        if let Some(unknown) = known {
            let message = format!("there is no join token {}", unknown.short());
            let hint = "trireme cluster join-token ls";
            return Err(Refusal::new(RefusalCode::NotFound, message, hint));
        }
        for hash in hashes {
            if let Some(token) = self.tokens.get_mut(hash) {
                token.revoked = true;
            }
        }
        Ok(Outcome::Done)
    }

    /// Takes one use, unless the same node comes again: a lost answer costs no second use.
    pub(super) fn use_token(
        &mut self,
        token: Option<Digest>,
        role: Role,
        again: bool,
    ) -> Result<(), Refusal> {
        let Some(hash) = token else { return Ok(()) };
        let refuse =
            |message: String| Err(Refusal::new(RefusalCode::Forbidden, message, MAKE_ANOTHER));
        let clock = self.clock;
        let Some(known) = self.tokens.get_mut(&hash) else {
            return refuse("this cluster does not know the join token".into());
        };
        if known.revoked {
            return refuse("the join token was taken back".into());
        }
        if known.expires_at <= clock {
            return refuse(format!("the join token expired at {}", known.expires_at));
        }
        if known.role != role {
            let is_for = known.role.name();
            return refuse(format!("the join token is for a {is_for}, not a {}", role.name()));
        }
        if again {
            return Ok(());
        }
        if known.uses_left == 0 {
            return refuse("the join token is used up: each use lets one machine in".into());
        }
        known.uses_left -= 1;
        Ok(())
    }
}
