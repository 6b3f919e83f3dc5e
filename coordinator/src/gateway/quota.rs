//! What a key may use, as the gateway asks for it; counting over the whole cluster is another's.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::admin::KeyLimits;

use super::auth::Caller;
use super::directory::KeyRecord;
use super::error::ApiError;
use crate::state::UsageDelta;

/// What a request takes before it runs; its answer is counted when it ends, so that a stream never
/// breaks off for a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    pub requests: u64,
    pub tokens: u64,
}

/// Why a request is refused, and when it may come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted {
    pub message: String,
    pub retry_after_seconds: u32,
    /// A budget is gone for long: clients shall not try again by themselves.
    pub soon: bool,
}

pub trait Quota: Send + Sync + 'static {
    /// Ends within a deadline.
    fn take(&self, key: Arc<KeyRecord>, need: Need) -> BoxFuture<'static, Result<(), Exhausted>>;

    /// Counts what a request has used in the end; its tokens were not all taken before.
    fn used(&self, key: &str, limits: &KeyLimits, taken: Need, delta: UsageDelta);
}

/// Where no key has limits.
pub struct Unlimited;

impl Quota for Unlimited {
    fn take(&self, _: Arc<KeyRecord>, _: Need) -> BoxFuture<'static, Result<(), Exhausted>> {
        async { Ok(()) }.boxed()
    }

    fn used(&self, _: &str, _: &KeyLimits, _: Need, _: UsageDelta) {}
}

impl From<Exhausted> for ApiError {
    fn from(exhausted: Exhausted) -> Self {
        let Exhausted { message, retry_after_seconds, soon } = exhausted;
        let error = Self::rate_limited(message);
        let code = if soon { error.code } else { Some("insufficient_quota") };
        let retry_after_seconds = Some(retry_after_seconds.max(1));
        Self { code, retry_after_seconds, should_retry: Some(soon), ..error }
    }
}

/// What one request takes of its key.
pub(super) struct Account {
    quota: Arc<dyn Quota>,
    key: Option<Arc<KeyRecord>>,
    taken: Need,
}

impl Account {
    pub(super) fn of(caller: &Caller, quota: Arc<dyn Quota>) -> Self {
        Self { quota, key: caller.key.clone(), taken: Need::default() }
    }

    pub(super) fn check_model(&self, model: &str) -> Result<(), ApiError> {
        let Some(key) = &self.key else { return Ok(()) };
        let allowed = &key.limits.models;
        if allowed.is_empty() || allowed.iter().any(|name| name == model) {
            return Ok(());
        }
        let (name, allowed) = (&key.name, allowed.join(", "));
        let message = format!("The key `{name}` may not use `{model}`; it may use: {allowed}.");
        Err(ApiError::forbidden(message).about("model"))
    }

    /// Takes what is needed before the next step, or says when it may come again.
    pub(super) async fn take(&mut self, need: Need) -> Result<(), ApiError> {
        let Some(key) = &self.key else { return Ok(()) };
        self.quota.take(Arc::clone(key), need).await?;
        self.taken.requests += need.requests;
        self.taken.tokens += need.tokens;
        Ok(())
    }

    /// A request that was let in counts once, with the tokens that it came to.
    pub(super) fn close(&mut self, prompt_tokens: u64, completion_tokens: u64) {
        let Some(key) = self.key.take().filter(|_| self.taken.requests > 0) else { return };
        let requests = self.taken.requests;
        let delta = UsageDelta { requests, prompt_tokens, completion_tokens };
        self.quota.used(&key.name, &key.limits, self.taken, delta);
    }
}
