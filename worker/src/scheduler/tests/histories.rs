//! Random histories over a fake pipeline: whatever happens, every stream gets its own tokens and
//! an end, no block is lost, and no row reads a position or a state that somebody else wrote.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use protocol::generate::{FinishReason, Refusal};
use protocol::ids::{SequenceId, StateSlot, TokenId};
use protocol::step_batch::{SequenceRows, SequenceStart};

use super::*;

/// Stages in one: executes batches in order, remembers which prefix each cell of a block ends.
#[derive(Default)]
struct FakePipeline {
    cells: BTreeMap<(u32, u32), u64>,
    sequences: BTreeMap<SequenceId, SequenceStart>,
    /// Whose state is in each slot, and the position that it is ready for.
    slots: BTreeMap<StateSlot, (SequenceId, u32)>,
}

const BLOCK_SIZE: u32 = 4;

/// The token that follows a prefix; about one in 20 is the stop token.
fn next_token(seed: u64, prefix: u64) -> TokenId {
    let draw = fold(seed, prefix) >> 20;
    if draw.is_multiple_of(20) { STOP } else { TokenId(3 + (draw % 900) as u32) }
}

fn fold(state: u64, value: u64) -> u64 {
    (state ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
}

impl FakePipeline {
    fn run(&mut self, batch: &StepBatch) -> StepResult {
        for end in &batch.ends {
            assert!(self.sequences.remove(end).is_some(), "the end of an unknown sequence");
        }
        for start in &batch.starts {
            assert!(self.sequences.insert(start.sequence, start.clone()).is_none());
        }
        let mut samples = Vec::new();
        for rows in &batch.rows {
            let prefix = self.write(rows);
            if rows.sample != Sample::No {
                let seed = self.sequences[&rows.sequence].choice_seed;
                let (sequence, token) = (rows.sequence, next_token(seed, prefix));
                samples.push(SampledToken { sequence, token, logprobs: None });
            }
        }
        let tokens = batch.token_count() as u32;
        StepResult { step: batch.step, samples, stage_micros: vec![100 + tokens; 2] }
    }

    /// Writes the rows' cells behind what must already be there; the prefix at their end.
    fn write(&mut self, rows: &SequenceRows) -> u64 {
        let slot = rows.state_slot.expect("each that runs has a slot");
        if rows.position > 0 {
            assert_eq!(self.slots[&slot], (rows.sequence, rows.position), "someone else's state");
        }
        let end = rows.position + rows.tokens.len() as u32;
        self.slots.insert(slot, (rows.sequence, end));
        let table = &rows.block_tables[0];
        let cell =
            |position: u32| (table[(position / BLOCK_SIZE) as usize].0, position % BLOCK_SIZE);
        let mut prefix = 0;
        if let Some(before) = rows.position.checked_sub(1) {
            // Each cell holds the hash of all before it, so the last one vouches for the others
            // only if they are intact too.
            let mut stored = 0;
            for position in 0..rows.position {
                let found = self.cells.get(&cell(position));
                stored = *found.unwrap_or_else(|| panic!("position {position} was never written"));
                assert_eq!(stored >> 32, u64::from(position), "someone else's cell");
            }
            assert_eq!(stored >> 32, u64::from(before));
            prefix = stored;
        }
        for (position, token) in (rows.position..).zip(&rows.tokens) {
            prefix = fold(prefix, token.0.into()) & 0xFFFF_FFFF | u64::from(position) << 32;
            self.cells.insert(cell(position), prefix);
        }
        prefix
    }
}

/// What one process would answer, alone.
fn undisturbed(request: &GenerateRequest, limit: u32) -> (Vec<TokenId>, FinishReason) {
    let mut prefix = 0;
    let mut length = 0;
    for token in request.prompt.iter() {
        prefix = fold(prefix, token.0.into()) & 0xFFFF_FFFF | u64::from(length) << 32;
        length += 1;
    }
    let mut answer = Vec::new();
    loop {
        let token = next_token(request.choice_seed, prefix);
        if token == STOP {
            return (answer, FinishReason::Stop);
        }
        answer.push(token);
        prefix = fold(prefix, token.0.into()) & 0xFFFF_FFFF | u64::from(length) << 32;
        length += 1;
        if answer.len() as u32 >= request.tokens_max || length >= limit {
            return (answer, FinishReason::Length);
        }
    }
}

#[derive(Clone, Debug)]
enum Move {
    Submit { prompt: u32, tokens_max: u32, resume_at: Option<usize> },
    Cancel { pick: usize },
    Answer,
    Lose,
}

fn moves() -> impl Strategy<Value = Move> {
    let submit = (1..60u32, 1..40u32, prop::option::weighted(0.3, 0..30usize))
        .prop_map(|(prompt, tokens_max, resume_at)| Move::Submit { prompt, tokens_max, resume_at });
    prop_oneof![
        30 => submit,
        6 => any::<usize>().prop_map(|pick| Move::Cancel { pick }),
        90 => Just(Move::Answer),
        1 => Just(Move::Lose),
    ]
}

struct World {
    scheduler: Scheduler,
    pipeline: FakePipeline,
    flying: VecDeque<StepBatch>,
    limit: u32,
    requests: Vec<GenerateRequest>,
    emitted: BTreeMap<StreamKey, Vec<TokenId>>,
    ended: BTreeMap<StreamKey, Action>,
}

impl World {
    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match &action {
                Action::Dispatch(batch) => self.flying.push_back(batch.clone()),
                Action::Accept { key } => {
                    let before = self.requests[key.0 as usize].emitted.clone();
                    assert!(self.emitted.insert(*key, before).is_none());
                }
                Action::Emit { key, token } => {
                    assert!(!self.ended.contains_key(key), "a token after the end");
                    self.emitted.get_mut(key).expect("accepted").push(token.token);
                }
                Action::Finish { key, .. } | Action::Refuse { key, .. } => {
                    assert!(self.ended.insert(*key, action.clone()).is_none(), "two ends");
                }
                Action::Abandon { reason } => panic!("{reason}"),
            }
        }
    }

    fn step(&mut self, event: Event) {
        let actions = self.scheduler.step(event, NOW);
        assert_eq!(self.scheduler.check(), Ok(()));
        self.perform(actions);
    }

    fn play(&mut self, next: &Move) {
        match next {
            Move::Submit { prompt, tokens_max, resume_at } => {
                let number = self.requests.len() as u64;
                let mut request = request(*prompt, *tokens_max);
                request.choice_seed = fold(number, 77);
                if let Some(at) = resume_at {
                    let (answer, _) = undisturbed(&request, self.limit);
                    request.emitted = answer[..(*at).min(answer.len())].to_vec();
                    request.resumed = true;
                }
                self.requests.push(request.clone());
                self.step(Event::Submit { key: key(number), request });
            }
            Move::Cancel { pick } if !self.requests.is_empty() => {
                self.step(Event::Cancel { key: key((pick % self.requests.len()) as u64) });
            }
            Move::Cancel { .. } => {}
            Move::Answer => self.answer(),
            Move::Lose => {
                self.step(Event::PipelineLost { reason: "gone".to_owned() });
                (self.pipeline, self.flying) = Default::default();
                let config = self.scheduler.config.clone();
                self.scheduler = Scheduler::new(config);
            }
        }
    }

    fn answer(&mut self) {
        if let Some(batch) = self.flying.pop_front() {
            let result = self.pipeline.run(&batch);
            self.step(Event::StepDone(result));
        }
    }

    fn check_ends(&self) {
        for (number, request) in self.requests.iter().enumerate() {
            let key = key(number as u64);
            let end = self.ended.get(&key).unwrap_or_else(|| panic!("{key:?} never ended"));
            let (answer, reason) = undisturbed(request, self.limit);
            match end {
                Action::Finish { reason: FinishReason::Cancelled, .. } => {
                    assert!(answer.starts_with(&self.emitted[&key]));
                }
                Action::Finish { reason: found, .. } => {
                    assert_eq!((&self.emitted[&key], *found), (&answer, reason), "{key:?}");
                }
                Action::Refuse { refusal: Refusal::PipelineLost { .. }, .. } => {
                    assert!(answer.starts_with(&self.emitted[&key]));
                }
                Action::Refuse { refusal, .. } => {
                    assert!(!self.emitted.contains_key(&key), "{refusal:?} in the middle");
                }
                other => panic!("{other:?} is no end"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_stream_ends_with_its_own_tokens(
        history in prop::collection::vec(moves(), 1..150),
        stages in 1..5u32,
        blocks in 3..40u32,
        step_tokens_max in 1..40u32,
        sequences_max in 1..10u32,
    ) {
        let scheduler = with(|config| {
            (config.stages, config.kv.blocks) = (stages, blocks);
            (config.kv.step_tokens_max, config.kv.sequences_max) = (step_tokens_max, sequences_max);
            (config.waiting_max, config.recurrent) = (12, true);
        });
        let mut world = World {
            limit: scheduler.config.sequence_tokens_max(),
            scheduler,
            pipeline: FakePipeline::default(),
            flying: VecDeque::new(),
            requests: Vec::new(),
            emitted: BTreeMap::new(),
            ended: BTreeMap::new(),
        };
        for next in &history {
            world.play(next);
        }
        while !world.flying.is_empty() {
            world.answer();
        }
        prop_assert!(world.scheduler.is_idle());
        prop_assert_eq!(world.scheduler.load().blocks_free, blocks);
        world.check_ends();
    }
}
