//! One request inside the scheduler: its tokens, its blocks, and how far it has been computed.

use std::ops::Range;
use std::sync::Arc;

use protocol::generate::GenerateRequest;
use protocol::ids::{SequenceId, StateSlot, StepId, TokenId};
use protocol::sampling_params::SamplingParams;
use protocol::step_batch::SequenceStart;

use super::block_table::BlockTable;
use super::event::StreamKey;

/// Who goes before whom: resumed requests first, then by arrival. The lowest is served first and
/// kept longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// False sorts first: a resumed request.
    pub(super) fresh: bool,
    pub(super) arrival: u64,
}

#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) key: StreamKey,
    pub(super) rank: Rank,
    pub(super) prompt: Arc<[TokenId]>,
    /// Those before a resume included.
    pub(super) emitted: Vec<TokenId>,
    pub(super) sampling: SamplingParams,
    choice_seed: u64,
    pub(super) tokens_max: u32,
    /// The name that stages know the current run by; every run after a preemption has its own, so
    /// that the end of one run and the start of the next may stand in one batch.
    pub(super) run: SequenceId,
    pub(super) table: BlockTable,
    /// While it runs, if the model keeps a state there.
    pub(super) slot: Option<StateSlot>,
    /// Positions whose rows have been dispatched in this run.
    pub(super) dispatched: u32,
    /// Positions to compute before the run's first sample.
    pub(super) prefill_end: u32,
    /// Batches in flight that hold rows of this sequence.
    pub(super) steps_in_flight: u32,
    pub(super) sample_in_flight: bool,
    /// The last step that held rows of it: the least recently served goes first.
    pub(super) last_step: Option<StepId>,
}

impl Sequence {
    pub(super) fn new(key: StreamKey, rank: Rank, request: GenerateRequest) -> Self {
        Self {
            key,
            rank,
            prompt: request.prompt.into(),
            emitted: request.emitted,
            sampling: request.sampling,
            choice_seed: request.choice_seed,
            tokens_max: request.tokens_max,
            run: SequenceId(0),
            table: BlockTable::default(),
            slot: None,
            dispatched: 0,
            prefill_end: 0,
            steps_in_flight: 0,
            sample_in_flight: false,
            last_step: None,
        }
    }

    /// Tokens known so far, prompt and answer.
    pub(super) fn len(&self) -> u32 {
        (self.prompt.len() + self.emitted.len()) as u32
    }

    /// Tokens that it will have at its end, unless it stops before.
    pub(super) fn tokens_at_most(&self) -> u32 {
        (self.prompt.len() as u32).saturating_add(self.tokens_max)
    }

    pub(super) fn in_prefill(&self) -> bool {
        self.dispatched < self.prefill_end
    }

    /// Its next row is the token that it sampled last, and that token is known.
    pub(super) fn ready_to_decode(&self) -> bool {
        !self.in_prefill() && !self.sample_in_flight
    }

    /// Begins a run: everything known is prefill.
    pub(super) fn start(&mut self, run: SequenceId) -> SequenceStart {
        self.run = run;
        self.dispatched = 0;
        self.prefill_end = self.len();
        SequenceStart {
            sequence: run,
            sampling: self.sampling.clone(),
            choice_seed: self.choice_seed,
            prompt: self.prompt.clone(),
            emitted: self.emitted.as_slice().into(),
        }
    }

    /// Tokens at absolute positions, which must be known.
    pub(super) fn tokens(&self, positions: Range<u32>) -> Vec<TokenId> {
        let border = self.prompt.len();
        let (start, end) = (positions.start as usize, positions.end as usize);
        let prompt = &self.prompt[start.min(border)..end.min(border)];
        let emitted = &self.emitted[start.max(border) - border..end.max(border) - border];
        [prompt, emitted].concat()
    }
}
