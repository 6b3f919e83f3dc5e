//! What one coordinator holds of a key's limits: leases of the leader, or a share of its own while
//! there is no leader. Pure.

use std::time::Duration;

use protocol::admin::KeyLimits;

use super::ledger::{Lease, LeaseAsk};
use super::window::Window;
use crate::gateway::quota::Need;

#[derive(Clone, Debug, Default)]
pub(crate) struct Purse {
    requests: u64,
    tokens: u64,
    /// Tokens of answers beyond what was held, not told to the leader yet.
    debt: u64,
    /// What was let through here, whoever allowed it.
    spent_requests: Window,
    spent_tokens: Window,
}

impl Purse {
    /// What is missing for `need`; `None` when it was taken.
    pub(crate) fn take(
        &mut self,
        key: &str,
        limits: &KeyLimits,
        need: Need,
        now: Duration,
    ) -> Option<LeaseAsk> {
        let lacks = |limit: Option<u64>, need: u64, held: u64| match limit {
            Some(_) => need.saturating_sub(held),
            None => 0,
        };
        let requests = lacks(limits.requests_per_minute, need.requests, self.requests);
        let tokens = lacks(limits.tokens_per_minute, need.tokens, self.tokens);
        let owes = self.debt > 0 && need.tokens > 0;
        if requests > 0 || tokens > 0 || owes {
            return Some(LeaseAsk { key: key.to_owned(), requests, tokens, debt: self.debt });
        }
        self.requests = self.requests.saturating_sub(need.requests);
        self.tokens = self.tokens.saturating_sub(need.tokens);
        self.spend(need, now);
        None
    }

    /// Takes in the answer to `ask`.
    pub(crate) fn receive(&mut self, ask: &LeaseAsk, lease: &Lease) {
        self.debt = self.debt.saturating_sub(ask.debt);
        self.requests = self.requests.saturating_add(lease.requests);
        self.tokens = self.tokens.saturating_add(lease.tokens);
    }

    /// While no leader answers: an even share of the limits, by what was let through here; at
    /// least one request. Yields the seconds to wait when there is no room.
    pub(crate) fn take_share(
        &mut self,
        limits: &KeyLimits,
        coordinators: u64,
        need: Need,
        now: Duration,
    ) -> Result<(), u64> {
        let share = |limit: u64| limit.div_ceil(coordinators.max(1)).max(1);
        let kinds = [
            (limits.requests_per_minute, need.requests, &mut self.spent_requests),
            (limits.tokens_per_minute, need.tokens, &mut self.spent_tokens),
        ];
        for (limit, need, window) in kinds {
            let Some(limit) = limit.map(share) else { continue };
            if window.room(limit, now) < need {
                return Err(window.wait(limit, need, now));
            }
        }
        self.spend(need, now);
        Ok(())
    }

    /// Counts tokens of an answer, which nobody asked for before they were there.
    pub(crate) fn answer(&mut self, limits: &KeyLimits, tokens: u64, now: Duration) {
        if limits.tokens_per_minute.is_none() {
            return;
        }
        self.spent_tokens.add(tokens, now);
        self.debt = self.debt.saturating_add(tokens.saturating_sub(self.tokens));
        self.tokens = self.tokens.saturating_sub(tokens);
    }

    /// What the leader does not know yet.
    pub(crate) fn owed(&self, key: &str) -> Option<LeaseAsk> {
        let (key, debt) = (key.to_owned(), self.debt);
        (debt > 0).then(|| LeaseAsk { key, debt, ..LeaseAsk::default() })
    }

    fn spend(&mut self, need: Need, now: Duration) {
        self.spent_requests.add(need.requests, now);
        self.spent_tokens.add(need.tokens, now);
    }
}
