//! Taking a request in: which ones can run here, and how many may wait.

use protocol::generate::{FinishReason, GenerateRequest, Refusal};

use super::event::StreamKey;
use super::sequence::{Rank, Sequence};
use super::{Action, Phase, Scheduler, SchedulerConfig};

impl Scheduler {
    pub(super) fn submit(
        &mut self,
        key: StreamKey,
        request: GenerateRequest,
        actions: &mut Vec<Action>,
    ) {
        debug_assert!(!self.sequences.contains_key(&key), "{key:?} is submitted twice");
        let refusal = self.refusal_of_phase().or_else(|| refusal_of(&request, &self.config));
        if let Some(refusal) = refusal.or_else(|| self.refusal_of_queue(&request)) {
            actions.push(Action::Refuse { key, refusal });
            return;
        }
        actions.push(Action::Accept { key });
        if is_complete(&request, &self.config) {
            actions.push(Action::Finish { key, reason: FinishReason::Length });
            return;
        }
        let rank = Rank { fresh: !request.resumed, arrival: self.arrivals };
        self.arrivals += 1;
        self.waiting.push(rank, key);
        self.sequences.insert(key, Sequence::new(key, rank, request));
    }

    fn refusal_of_phase(&self) -> Option<Refusal> {
        match &self.phase {
            Phase::Serving => None,
            Phase::Draining | Phase::Stopped => Some(Refusal::ShuttingDown),
            Phase::Lost { reason } => Some(Refusal::PipelineLost { reason: reason.clone() }),
        }
    }

    /// A resumed stream was admitted once; it is never refused in its middle.
    fn refusal_of_queue(&self, request: &GenerateRequest) -> Option<Refusal> {
        let waiting = self.waiting.len();
        let full = waiting >= self.config.waiting_max && !request.resumed;
        full.then_some(Refusal::QueueFull { waiting })
    }
}

/// Why a request can never run on this plan, whatever the load.
fn refusal_of(request: &GenerateRequest, config: &SchedulerConfig) -> Option<Refusal> {
    let vocab_size = config.vocab_size;
    let known = request.prompt.len() + request.emitted.len();
    let limit = config.sequence_tokens_max();
    let too_long = known as u64 + 1 > u64::from(limit);
    if too_long && !is_complete(request, config) {
        let tokens = u32::try_from(known + 1).unwrap_or(u32::MAX);
        return Some(Refusal::TooLong { tokens, limit });
    }
    if request.prompt.is_empty() {
        return Some(Refusal::Invalid { reason: "the prompt has no token".to_owned() });
    }
    let mut ids = request.prompt.iter().chain(&request.emitted);
    ids.find(|id| id.0 >= vocab_size).map(|id| Refusal::Invalid {
        reason: format!("token id {id} is outside the vocabulary of {vocab_size}"),
    })
}

/// A stream may be cut between its last token and its end; resumed, it has nothing left to do.
fn is_complete(request: &GenerateRequest, config: &SchedulerConfig) -> bool {
    let emitted = request.emitted.len();
    let at_limit = request.prompt.len() + emitted >= config.sequence_tokens_max() as usize;
    emitted >= request.tokens_max as usize || (emitted > 0 && at_limit)
}
