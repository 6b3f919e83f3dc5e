//! The last client request ids and their outcomes, so that a retry changes nothing twice.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, Refusal, RefusalCode};

/// The cluster retries its own changes for seconds, people theirs for as long as a few thousand
/// other changes take: so each have a memory of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecentRequests {
    outcomes: BTreeMap<String, Outcome>,
    order: VecDeque<String>,
    /// What kind of change each was, of those that people named.
    #[serde(default)]
    kinds: BTreeMap<String, String>,
}

pub(super) const REMEMBERED_OWN: usize = 1024;
pub(super) const REMEMBERED_ASKED: usize = 4096;

impl RecentRequests {
    /// What came of `request` when it was first applied.
    pub(super) fn outcome(&self, request: &str, kind: &str) -> Option<Outcome> {
        let outcome = self.outcomes.get(request)?;
        match self.kinds.get(request) {
            Some(known) if known != kind => Some(Outcome::Refused(Refusal::new(
                RefusalCode::Precondition,
                format!("the request id `{request}` was used for `{known}` already"),
                "send another Idempotency-Key with another change",
            ))),
            _ => Some(outcome.clone()),
        }
    }

    pub(super) fn remember(
        &mut self,
        request: String,
        kind: Option<&'static str>,
        outcome: Outcome,
        most: usize,
    ) {
        if request.is_empty() {
            return;
        }
        if self.order.len() >= most
            && let Some(oldest) = self.order.pop_front()
        {
            self.outcomes.remove(&oldest);
            self.kinds.remove(&oldest);
        }
        self.order.push_back(request.clone());
        if let Some(kind) = kind {
            self.kinds.insert(request.clone(), kind.to_owned());
        }
        self.outcomes.insert(request, outcome);
    }
}
