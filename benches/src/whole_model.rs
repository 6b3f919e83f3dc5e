//! A whole model as one stage, stepped as the scheduler would step it.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use checkpoint::Manifest;
use engine::{
    Compute, FileSource, PackedCache, PackedIdentity, PackedShard, Stage, StageConfig, StageInput,
    StateSnapshot, WeightSource, digest_of_files,
};
use protocol::ids::{BlockId, SequenceId, StateSlot, StepId, TokenId};
use protocol::model_spec::{KvType, ModelSpec};
use protocol::plan::{ActivationType, KvPlan, Share};
use protocol::step_batch::{Sample, SequenceRows, StepBatch};

/// Tokens of one prefill step; llama.cpp's own default.
const STEP_TOKENS: usize = 512;
const BLOCK_SIZE: u32 = 16;

pub struct WholeModel {
    pub spec: ModelSpec,
    pub load_time: Duration,
    stage: Stage,
    blocks_per_sequence: u32,
    /// Of each sequence behind its prompt, where layers are recurrent.
    states: BTreeMap<u32, StateSnapshot>,
    next_step: u64,
}

impl WholeModel {
    /// Loads the model for `sequences` of up to `context` tokens, with f16 keys and values.
    pub fn load(path: &Path, sequences: u32, context: u32) -> Result<Self, Box<dyn Error>> {
        Self::load_from(path, sequences, context, None)
    }

    /// As `load`, with the packed weights of `cache`, which are written there if they are not.
    pub fn load_from(
        path: &Path,
        sequences: u32,
        context: u32,
        cache: Option<&PackedCache>,
    ) -> Result<Self, Box<dyn Error>> {
        let checkpoint = checkpoint::open(path)?;
        let blocks_per_sequence = context.div_ceil(BLOCK_SIZE);
        let kv = KvPlan {
            kv_type: KvType::F16,
            block_size: BLOCK_SIZE,
            blocks: blocks_per_sequence * sequences,
            context_length: context,
            sequences_max: sequences,
            step_tokens_max: STEP_TOKENS as u32,
        };
        let layers = checkpoint.spec.all_layers();
        let activation = ActivationType::F32;
        let config = StageConfig { layers, kv, activation, share: Share::WHOLE };
        let manifest = Manifest {
            name: checkpoint.name.clone(),
            spec: checkpoint.spec.clone(),
            files: Vec::new(),
            tensors: checkpoint.tensors.clone(),
            chunks: Vec::new(),
            text: checkpoint.text.digest()?,
        };
        let source = FileSource::open(&checkpoint.files)?;
        let begun = Instant::now();
        let open = |cache: &PackedCache| -> std::io::Result<_> {
            let source = digest_of_files(&manifest, &checkpoint.files)?;
            let (layers, share) = (config.layers, config.share);
            let identity = PackedIdentity { source, layers, share };
            Ok(cache.shard(identity, Compute::of_process().threads()))
        };
        let shard = cache.map(open).transpose()?;
        let over = shard.as_ref().map(|shard| shard.over(&source));
        let from: &dyn WeightSource = over.as_ref().map_or(&source, |over| over);
        let stage = Stage::load(&manifest, from, &config, &mut |_| {})?;
        let load_time = begun.elapsed();
        shard.map_or(Ok(()), PackedShard::keep)?;
        Ok(Self {
            spec: checkpoint.spec,
            load_time,
            stage,
            blocks_per_sequence,
            states: BTreeMap::new(),
            next_step: 0,
        })
    }

    /// A prompt of `tokens` from position 0 on, and the logits after it.
    pub fn prefill(&mut self, sequence: u32, tokens: usize) -> Result<Duration, Box<dyn Error>> {
        let prompt: Vec<_> = (0..tokens).map(|i| self.token(i)).collect();
        let begun = Instant::now();
        for (chunk, ids) in prompt.chunks(STEP_TOKENS).enumerate() {
            let position = chunk * STEP_TOKENS;
            let last = position + ids.len() == tokens;
            let rows = self.rows(sequence, position, ids.to_vec(), last);
            self.step(vec![rows])?;
        }
        let taken = begun.elapsed();
        if self.spec.is_recurrent() {
            self.states.insert(sequence, self.stage.snapshot(StateSlot(sequence))?);
        }
        Ok(taken)
    }

    /// `tokens` steps of one row for each of the first `sequences`, from `context` on: the end of
    /// their prompts, whose state is there.
    pub fn decode(
        &mut self,
        sequences: u32,
        tokens: usize,
        context: usize,
    ) -> Result<Duration, Box<dyn Error>> {
        for (sequence, state) in self.states.range(..sequences) {
            self.stage.restore(StateSlot(*sequence), state)?;
        }
        let begun = Instant::now();
        for i in 0..tokens {
            let row = |sequence| self.rows(sequence, context + i, vec![self.token(i)], true);
            let rows = (0..sequences).map(row).collect();
            self.step(rows)?;
        }
        Ok(begun.elapsed())
    }

    /// Weight bytes that a decode step reads: all but the embedding, of which it reads one row.
    pub fn bytes_per_token(&self) -> u64 {
        let weights = self.stage.memory().weights;
        let untied = if self.spec.tied_embeddings { 0 } else { self.spec.embedding_bytes };
        weights.saturating_sub(untied)
    }

    fn step(&mut self, rows: Vec<SequenceRows>) -> Result<(), Box<dyn Error>> {
        let step = StepId(self.next_step);
        self.next_step += 1;
        let batch = StepBatch { step, starts: vec![], ends: vec![], copies: vec![], rows };
        self.stage.logits(&batch, StageInput::Tokens)?;
        Ok(())
    }

    fn rows(
        &self,
        sequence: u32,
        position: usize,
        tokens: Vec<TokenId>,
        last: bool,
    ) -> SequenceRows {
        let first = sequence * self.blocks_per_sequence;
        SequenceRows {
            sequence: SequenceId(u64::from(sequence)),
            position: position as u32,
            tokens,
            block_tables: vec![(first..first + self.blocks_per_sequence).map(BlockId).collect()],
            state_slot: Some(StateSlot(sequence)),
            sample: if last { Sample::Yes { allowed: None } } else { Sample::No },
        }
    }

    /// The same made-up text as the peer's.
    fn token(&self, index: usize) -> TokenId {
        let vocabulary = self.spec.vocab_size as usize;
        TokenId(((7919 * index + 13) % (vocabulary - 1000)) as u32)
    }
}
