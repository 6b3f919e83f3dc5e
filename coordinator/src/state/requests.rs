//! The last client request ids and their outcomes, so that a retry changes nothing twice.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecentRequests {
    outcomes: BTreeMap<String, Outcome>,
    order: VecDeque<String>,
}

const REMEMBERED_MAX: usize = 1024;

impl RecentRequests {
    pub(super) fn outcome(&self, request: &str) -> Option<&Outcome> {
        self.outcomes.get(request)
    }

    pub(super) fn remember(&mut self, request: String, outcome: Outcome) {
        if request.is_empty() {
            return;
        }
        if self.order.len() >= REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.outcomes.remove(&oldest);
        }
        self.order.push_back(request.clone());
        self.outcomes.insert(request, outcome);
    }
}
