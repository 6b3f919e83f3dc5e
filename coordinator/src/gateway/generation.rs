//! All choices of one request: starts their drivers and brings their events together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use protocol::generate::FinishReason;
use protocol::ids::TokenId;
use protocol::sampling_params::SamplingParams;
use tokio::sync::{mpsc, watch};

use super::answer_text::AnswerText;
use super::choice::{ChoiceDriver, ChoiceEvent};
use super::directory::ServedModel;
use super::error::ApiError;
use super::metrics::TokenClock;
use super::model_text::{Detokenizing, ModelText};
use super::request::{ChoiceSpec, Failure, RequestLife};
use super::{GatewayState, Phase};

/// Events that may wait for a slow client, over all choices.
const EVENTS_MAX: usize = 64;

/// What is asked of the model: `choices` answers to each prompt.
pub(super) struct Job {
    pub(super) request_id: String,
    pub(super) model: Arc<ServedModel>,
    pub(super) text: Arc<dyn ModelText>,
    pub(super) prompts: Vec<Arc<[TokenId]>>,
    pub(super) choices: u32,
    pub(super) sampling: SamplingParams,
    /// Drawn by the gateway when the client names none.
    pub(super) seed: u64,
    pub(super) stops: Vec<String>,
    pub(super) detokenizing: Detokenizing,
    pub(super) tokens_max: Option<u32>,
}

/// The running choices of a request; dropping it cancels them.
pub(super) struct Generation {
    events: mpsc::Receiver<(u32, ChoiceEvent)>,
    /// Already received, to be given out first.
    early: VecDeque<(u32, ChoiceEvent)>,
    choices: u32,
    /// Those of them that have a driver.
    running: u32,
    phase: watch::Receiver<Phase>,
}

impl Generation {
    pub(super) fn start(state: &GatewayState, job: &Job) -> Self {
        let (out, events) = mpsc::channel(EVENTS_MAX);
        let origin = Instant::now();
        let mut early = VecDeque::new();
        let (mut index, mut running) = (0, 0);
        for prompt in &job.prompts {
            for choice in 0..job.choices {
                index += 1;
                let tokens_max = job.tokens_max(prompt.len());
                if tokens_max == 0 {
                    let (reason, tokens) = (FinishReason::Length, 0);
                    early.push_back((index - 1, ChoiceEvent::Finished { reason, tokens }));
                    continue;
                }
                let spec = ChoiceSpec {
                    request_id: job.request_id.clone(),
                    prompt: prompt.clone(),
                    sampling: job.sampling.clone(),
                    choice_seed: choice_seed(job.seed, choice),
                    tokens_max,
                };
                let driver = ChoiceDriver {
                    index: index - 1,
                    model: job.model.name.clone(),
                    directory: state.directory.clone(),
                    life: RequestLife::new(spec, state.config.patience, origin.elapsed()),
                    text: AnswerText::new(job.text.clone(), &job.stops, job.detokenizing),
                    out: out.clone(),
                    origin,
                    client_stall: state.config.limits.client_stall,
                    clock: TokenClock::start(&job.model.name),
                };
                tokio::spawn(driver.run());
                running += 1;
            }
        }
        Self { events, early, choices: index, running, phase: state.phase.subscribe() }
    }

    /// Waits until a head owns every choice; a failure before that can still be an HTTP status.
    pub(super) async fn accepted(&mut self) -> Result<(), ApiError> {
        let mut open = self.running;
        while open > 0 {
            match self.received().await {
                Some((_, ChoiceEvent::Failed(failure))) => {
                    return Err(ApiError::from_failure(failure));
                }
                Some((_, ChoiceEvent::Accepted)) => open -= 1,
                Some(other) => self.early.push_back(other),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// The next event of any choice, with its index; `None` when all have ended.
    pub(super) async fn next(&mut self) -> Option<(u32, ChoiceEvent)> {
        match self.early.pop_front() {
            Some(event) => Some(event),
            None => self.received().await,
        }
    }

    async fn received(&mut self) -> Option<(u32, ChoiceEvent)> {
        tokio::select! {
            event = self.events.recv() => event,
            Ok(_) = self.phase.wait_for(|phase| *phase == Phase::Cut) => {
                Some((0, ChoiceEvent::Failed(Failure::NodeStops)))
            }
        }
    }

    pub(super) fn choices(&self) -> u32 {
        self.choices
    }
}

impl Job {
    /// As asked, and never more than the context has room for.
    fn tokens_max(&self, prompt_tokens: usize) -> u32 {
        let room = self.model.context_length.saturating_sub(prompt_tokens as u32);
        self.tokens_max.map_or(room, |asked| asked.min(room))
    }

    pub(super) fn prompt_tokens(&self) -> usize {
        self.prompts.iter().map(|p| p.len()).sum()
    }
}

/// The same for the same seed and choice, whatever else the request holds.
fn choice_seed(seed: u64, choice: u32) -> u64 {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..].copy_from_slice(&choice.to_le_bytes());
    let hash = *blake3::hash(&bytes).as_bytes();
    u64::from_le_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}
