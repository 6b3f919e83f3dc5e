//! API keys: hashes with a prefix to recognise them by, what each may do, what each has used.

use std::collections::BTreeMap;

use protocol::admin::{KeyLimits, KeyRole, KeyUsage, UpdateKey};
use protocol::ids::{Digest, NodeId};
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
    #[serde(default)]
    pub limits: KeyLimits,
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// What it was before it was rotated.
    #[serde(default)]
    pub old: Option<OldText>,
    #[serde(default)]
    usage: KeyUsage,
    /// The month that `usage.tokens_this_month` is of.
    #[serde(default)]
    month: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OldText {
    pub hash: Digest,
    pub until: Timestamp,
}

/// What one coordinator saw of a key since it last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageDelta {
    pub requests: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyChange {
    Create {
        name: String,
        role: KeyRole,
        hash: Digest,
        prefix: String,
        limits: KeyLimits,
        expires_in_seconds: Option<u64>,
    },
    Update {
        name: String,
        update: UpdateKey,
    },
    Rotate {
        name: String,
        hash: Digest,
        prefix: String,
        overlap_seconds: u64,
    },
    Revoke {
        name: String,
    },
    /// `batch` counts the reports of one coordinator from 1: one that comes twice counts once.
    RecordUsage {
        node: NodeId,
        batch: u64,
        totals: BTreeMap<String, UsageDelta>,
    },
}

const KEYS_MAX: usize = 10_000;
const MODELS_MAX: usize = 256;
/// Ten years.
const SECONDS_MAX: u64 = 10 * 366 * 86_400;

impl KeyChange {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create-key",
            Self::Update { .. } => "update-key",
            Self::Rotate { .. } => "rotate-key",
            Self::Revoke { .. } => "revoke-key",
            Self::RecordUsage { .. } => "record-usage",
        }
    }
}

impl UsageDelta {
    pub fn tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
    }
}

impl ApiKey {
    fn new(hash: Digest, role: KeyRole, prefix: String, created_at: Timestamp) -> Self {
        let (limits, expires_at, old) = (KeyLimits::default(), None, None);
        let (usage, month) = (KeyUsage::default(), 0);
        Self { hash, role, prefix, created_at, limits, expires_at, old, usage, month }
    }

    /// What was used, in the month of `now`.
    pub fn usage(&self, now: Timestamp) -> KeyUsage {
        let tokens_this_month =
            if self.month == now.month() { self.usage.tokens_this_month } else { 0 };
        KeyUsage { tokens_this_month, ..self.usage }
    }

    fn count(&mut self, delta: &UsageDelta, now: Timestamp) {
        let mut usage = self.usage(now);
        usage.requests = usage.requests.saturating_add(delta.requests);
        usage.prompt_tokens = usage.prompt_tokens.saturating_add(delta.prompt_tokens);
        usage.completion_tokens = usage.completion_tokens.saturating_add(delta.completion_tokens);
        usage.tokens_this_month = usage.tokens_this_month.saturating_add(delta.tokens());
        (self.usage, self.month) = (usage, now.month());
    }
}

impl State {
    pub(super) fn change_key(&mut self, change: KeyChange) -> Result<Outcome, Refusal> {
        match change {
            KeyChange::Create { name, role, hash, prefix, limits, expires_in_seconds } => {
                check_limits(&limits)?;
                let expires_at = self.moment("expiry", expires_in_seconds.unwrap_or(0))?;
                self.add_key(name.clone(), role, hash, prefix)?;
                let key = self.key(&name)?;
                (key.limits, key.expires_at) = (limits, expires_at);
            }
            KeyChange::Update { name, update } => self.update_key(&name, update)?,
            KeyChange::Rotate { name, hash, prefix, overlap_seconds } => {
                let until = self.moment("overlap", overlap_seconds)?;
                let key = self.key(&name)?;
                key.old = until.map(|until| OldText { hash: key.hash, until });
                (key.hash, key.prefix) = (hash, prefix);
            }
            KeyChange::Revoke { name } => {
                self.key(&name)?;
                self.check_other_admin(&name)?;
                self.keys.remove(&name);
            }
            KeyChange::RecordUsage { node, batch, totals } => {
                self.record_usage(node, batch, &totals);
            }
        }
        Ok(Outcome::Done)
    }

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
        self.keys.insert(name, ApiKey::new(hash, role, prefix, created_at));
        Ok(Outcome::Done)
    }

    /// Number of the last usage report of `node` that counts.
    pub fn usage_batch(&self, node: NodeId) -> u64 {
        self.usage_batches.get(&node).copied().unwrap_or(0)
    }

    fn update_key(&mut self, name: &str, update: UpdateKey) -> Result<(), Refusal> {
        let UpdateKey { role, models, expires_in_seconds, .. } = update;
        let expires_at = match expires_in_seconds {
            Some(seconds) => Some(self.moment("expiry", seconds)?),
            None => None,
        };
        let key = self.key(name)?;
        let mut limits = key.limits.clone();
        limits.models = models.unwrap_or(limits.models);
        let change = |limit: &mut Option<u64>, asked: Option<u64>| match asked {
            Some(0) => *limit = None,
            Some(_) => *limit = asked,
            None => {}
        };
        change(&mut limits.requests_per_minute, update.requests_per_minute);
        change(&mut limits.tokens_per_minute, update.tokens_per_minute);
        change(&mut limits.tokens_per_month, update.tokens_per_month);
        check_limits(&limits)?;
        let role = role.unwrap_or(key.role);
        if role != KeyRole::Admin || expires_at.is_some_and(|at| at.is_some()) {
            self.check_other_admin(name)?;
        }
        let key = self.key(name)?;
        key.role = role;
        key.limits = limits;
        key.expires_at = expires_at.unwrap_or(key.expires_at);
        Ok(())
    }

    fn record_usage(&mut self, node: NodeId, batch: u64, totals: &BTreeMap<String, UsageDelta>) {
        if batch <= self.usage_batch(node) {
            return;
        }
        self.usage_batches.insert(node, batch);
        let clock = self.clock;
        for (name, delta) in totals {
            if let Some(key) = self.keys.get_mut(name) {
                key.count(delta, clock);
            }
        }
    }

    fn key(&mut self, name: &str) -> Result<&mut ApiKey, Refusal> {
        self.keys.get_mut(name).ok_or_else(|| Refusal::no_key(name))
    }

    /// `seconds` from now; never for 0.
    fn moment(&self, what: &str, seconds: u64) -> Result<Option<Timestamp>, Refusal> {
        if seconds > SECONDS_MAX {
            return Err(Refusal::new(
                RefusalCode::InvalidValue,
                format!("the {what} is {seconds} s, expected at most {SECONDS_MAX}"),
                "0 means none",
            ));
        }
        Ok((seconds > 0).then(|| self.clock.plus_seconds(seconds)))
    }

    /// Somebody must be left who may make keys.
    fn check_other_admin(&self, name: &str) -> Result<(), Refusal> {
        let lasting = |key: &ApiKey| key.role == KeyRole::Admin && key.expires_at.is_none();
        let Some(key) = self.keys.get(name).filter(|key| lasting(key)) else { return Ok(()) };
        if self.keys.values().any(|other| lasting(other) && other.hash != key.hash) {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalCode::Precondition,
            format!("`{name}` is the last admin key that does not expire"),
            "first: trireme keys create NAME --role admin",
        ))
    }
}

fn check_limits(limits: &KeyLimits) -> Result<(), Refusal> {
    let invalid =
        |message: String, hint: &str| Err(Refusal::new(RefusalCode::InvalidValue, message, hint));
    if limits.models.len() > MODELS_MAX {
        let count = limits.models.len();
        return invalid(format!("{count} models are named, expected at most {MODELS_MAX}"), "");
    }
    for model in &limits.models {
        check_name("model name", model)?;
    }
    let numbers = [limits.requests_per_minute, limits.tokens_per_minute, limits.tokens_per_month];
    if numbers.contains(&Some(0)) {
        return invalid("a limit is 0".into(), "leave it out for none; revoke a key to end it");
    }
    Ok(())
}
