//! The leader's book of what it leased of each key's limits in the last minute. Pure.
//!
//! A coordinator gets what it asks for, or a twentieth of the limit if that is more, so that it
//! need not ask for each request. It asks only when it has less than it needs, so no coordinator
//! ever holds more than a twentieth unused. In any minute the cluster therefore lets through at
//! most the limit and a twentieth per coordinator (each rounded up).

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::admin::KeyLimits;
use serde::{Deserialize, Serialize};

use super::window::Window;

const PART: u64 = 20;

/// What a coordinator lacks to let a request through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaseAsk {
    pub(crate) key: String,
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
    /// Tokens that answers took beyond what was leased.
    pub(crate) debt: u64,
}

/// Less than was asked for: come again after `retry_after_seconds`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
    pub(crate) retry_after_seconds: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    accounts: BTreeMap<String, Account>,
    swept: u64,
}

#[derive(Clone, Debug, Default)]
struct Account {
    requests: Window,
    tokens: Window,
}

impl Ledger {
    pub(crate) fn lease(&mut self, ask: &LeaseAsk, limits: &KeyLimits, now: Duration) -> Lease {
        self.sweep(now);
        let account = self.accounts.entry(ask.key.clone()).or_default();
        account.tokens.add(ask.debt, now);
        let requests = draw(&mut account.requests, ask.requests, limits.requests_per_minute, now);
        let tokens = draw(&mut account.tokens, ask.tokens, limits.tokens_per_minute, now);
        // All or nothing: what one kind refuses must not wear out the other.
        let retry_after_seconds = requests.wait.max(tokens.wait);
        if retry_after_seconds > 0 {
            return Lease { requests: 0, tokens: 0, retry_after_seconds };
        }
        account.requests.add(requests.amount, now);
        account.tokens.add(tokens.amount, now);
        Lease { requests: requests.amount, tokens: tokens.amount, retry_after_seconds }
    }

    /// Forgets, once a minute, keys that were not used for one.
    fn sweep(&mut self, now: Duration) {
        if now.as_secs() < self.swept + super::window::MINUTE {
            return;
        }
        self.swept = now.as_secs();
        self.accounts.retain(|_, a| !(a.requests.is_empty(now) && a.tokens.is_empty(now)));
    }
}

#[derive(Default)]
struct Drawn {
    amount: u64,
    wait: u64,
}

fn draw(window: &mut Window, need: u64, limit: Option<u64>, now: Duration) -> Drawn {
    let Some(limit) = limit else { return Drawn { amount: need, wait: 0 } };
    let room = window.room(limit, now);
    if need > room {
        return Drawn { amount: 0, wait: window.wait(limit, need, now) };
    }
    let amount = if need == 0 { 0 } else { need.max(limit.div_ceil(PART)).min(room) };
    Drawn { amount, wait: 0 }
}
