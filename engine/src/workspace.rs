//! Buffers of a stage, allocated when it loads: a step allocates next to nothing.

use std::sync::Arc;

use protocol::limits::STEP_TOKENS_MAX;
use protocol::model_spec::{AttentionSpec, LatentSpec, ModelSpec};

use crate::collective::{Alone, Collective, Missing};
use crate::config::{StageConfig, WIDTH_MAX};
use crate::kernels::Compute;
use crate::layers::{LOGIT_ROWS, MatmulScratch, Rope, attention_scratch_floats};

/// Rows that run through a layer together. What a row yields does not depend on it; it bounds
/// memory and keeps a tile's activations in cache.
pub(crate) const TILE_ROWS: usize = 128;

/// Space of a whole step.
pub(crate) struct Workspace {
    /// Of a step, at most.
    pub(crate) rows: usize,
    // [rows, hidden]
    pub(crate) hidden: Vec<f32>,
    /// Embedded tokens, where layers make something of them themselves.
    // [rows, hidden]
    pub(crate) embedded: Vec<f32>,
    /// `hidden` as raw values of the activation type, for the next stage; empty on the last.
    pub(crate) wire: Vec<u8>,
    pub(crate) tile: TileSpace,
    pub(crate) logits: LogitSpace,
}

/// Space of the rows that run through a layer together.
pub(crate) struct TileSpace {
    widths: Widths,
    // [tile, hidden]
    normed: Vec<f32>,
    output: Vec<f32>,
    // [tile, heads * head_dim]
    query: Vec<f32>,
    attended: Vec<f32>,
    // [tile, kv_heads * head_dim]
    key: Vec<f32>,
    value: Vec<f32>,
    /// Query heads as they meet the shared vector of latent attention.
    // [tile, heads * (rank + rope_dim)]
    latent: Vec<f32>,
    /// What projections leave for more than attention.
    // [tile, projected]
    projected: Vec<f32>,
    // [tile, ffn]
    gate: Vec<f32>,
    up: Vec<f32>,
    /// Each row's weight of each expert.
    // [tile, experts]
    routed: Vec<f32>,
    /// Rows of one expert, or of one head of latent attention, and what becomes of them.
    // [tile, gathered]
    gathered: Vec<f32>,
    produced: Vec<f32>,
    pub(crate) matmul: MatmulScratch,
    /// The ranks that compute the layers together.
    pub(crate) group: Box<dyn Collective>,
}

/// Space of sampled rows; empty on all stages but the last.
pub(crate) struct LogitSpace {
    // [LOGIT_ROWS, hidden]
    pub(crate) hidden: Vec<f32>,
    pub(crate) normed: Vec<f32>,
    // [LOGIT_ROWS, vocabulary]
    pub(crate) logits: Vec<f32>,
    /// The rank's own part of a row, where it has not all of it.
    // [LOGIT_ROWS, part]
    pub(crate) part: Vec<f32>,
}

/// `TileSpace` cut to the rows at hand.
pub(crate) struct TileRows<'a> {
    pub(crate) normed: &'a mut [f32],
    pub(crate) output: &'a mut [f32],
    pub(crate) query: &'a mut [f32],
    pub(crate) attended: &'a mut [f32],
    pub(crate) key: &'a mut [f32],
    pub(crate) value: &'a mut [f32],
    pub(crate) latent: &'a mut [f32],
    pub(crate) projected: &'a mut [f32],
    pub(crate) gate: &'a mut [f32],
    pub(crate) up: &'a mut [f32],
    pub(crate) routed: &'a mut [f32],
    pub(crate) gathered: &'a mut [f32],
    pub(crate) produced: &'a mut [f32],
    pub(crate) matmul: &'a mut MatmulScratch,
    pub(crate) group: &'a mut dyn Collective,
}

#[derive(Clone, Copy)]
struct Widths {
    hidden: usize,
    query: usize,
    attended: usize,
    key: usize,
    value: usize,
    latent: usize,
    projected: usize,
    /// Of the heads' results in layers other than attention.
    mixed: usize,
    ffn: usize,
    experts: usize,
    gathered: usize,
    embedded: usize,
}

impl Workspace {
    /// `spec` is the whole model's.
    pub(crate) fn new(spec: &ModelSpec, config: &StageConfig, compute: Arc<Compute>) -> Self {
        let group: Box<dyn Collective> =
            if config.is_whole() { Box::new(Alone) } else { Box::new(Missing) };
        let sizes = Sizes::of(spec, config);
        let Sizes { rows, tile, logit_rows, widths, .. } = sizes;
        let zeros = |floats: usize| vec![0.0; floats];
        Self {
            rows,
            hidden: zeros(rows * widths.hidden),
            embedded: zeros(rows * widths.embedded),
            wire: vec![0; sizes.wire_bytes],
            tile: TileSpace {
                widths,
                normed: zeros(tile * widths.hidden),
                output: zeros(tile * widths.hidden),
                query: zeros(tile * widths.query),
                attended: zeros(tile * widths.attended),
                key: zeros(tile * widths.key),
                value: zeros(tile * widths.value),
                latent: zeros(tile * widths.latent),
                projected: zeros(tile * widths.projected),
                gate: zeros(tile * widths.ffn),
                up: zeros(tile * widths.ffn),
                routed: zeros(tile * widths.experts),
                gathered: zeros(tile * widths.gathered),
                produced: zeros(tile * widths.gathered),
                matmul: MatmulScratch::new(compute, tile, widths.inputs_max()),
                group,
            },
            logits: LogitSpace {
                hidden: zeros(logit_rows * widths.hidden),
                normed: zeros(logit_rows * widths.hidden),
                logits: zeros(logit_rows * spec.vocab_size as usize),
                part: zeros(logit_rows * sizes.logit_part),
            },
        }
    }

    /// Memory of such a workspace, scratch of the compute threads included.
    pub(crate) fn bytes(spec: &ModelSpec, config: &StageConfig, threads: usize) -> u64 {
        let Sizes { rows, tile, logit_rows, logit_part, widths, wire_bytes } =
            Sizes::of(spec, config);
        let vocabulary = spec.vocab_size as usize;
        let logits = logit_rows * (2 * widths.hidden + vocabulary + logit_part);
        let (tile_row, angles) = (widths.tile_row(), Rope::angle_floats(spec, rows));
        let rows_floats = rows * (widths.hidden + widths.embedded);
        let floats = (rows_floats + angles + tile * tile_row + logits) as u64;
        let thread =
            attention_scratch_floats(&spec.of_slice(&spec.slice(config.share)), config.kv.kv_type);
        let threads = (threads as u64).saturating_mul(thread);
        let matmul = MatmulScratch::bytes(tile, widths.inputs_max());
        let floats = floats.saturating_add(threads).saturating_mul(4);
        floats.saturating_add(matmul).saturating_add(wire_bytes as u64)
    }
}

impl TileSpace {
    pub(crate) fn of_rows(&mut self, rows: usize) -> TileRows<'_> {
        let widths = self.widths;
        TileRows {
            normed: &mut self.normed[..rows * widths.hidden],
            output: &mut self.output[..rows * widths.hidden],
            query: &mut self.query[..rows * widths.query],
            attended: &mut self.attended[..rows * widths.attended],
            key: &mut self.key[..rows * widths.key],
            value: &mut self.value[..rows * widths.value],
            latent: &mut self.latent[..rows * widths.latent],
            projected: &mut self.projected[..rows * widths.projected],
            gate: &mut self.gate[..rows * widths.ffn],
            up: &mut self.up[..rows * widths.ffn],
            routed: &mut self.routed[..rows * widths.experts],
            gathered: &mut self.gathered[..rows * widths.gathered],
            produced: &mut self.produced[..rows * widths.gathered],
            matmul: &mut self.matmul,
            group: &mut *self.group,
        }
    }
}

impl Widths {
    fn of(spec: &ModelSpec) -> Self {
        let attention = spec.attention;
        // An estimate may be asked of sizes that loading refuses.
        let width = |values: u64| values.min(WIDTH_MAX) as usize;
        let widest =
            |of: fn(&AttentionSpec) -> u64| width(spec.attentions().map(of).max().unwrap_or(0));
        let hidden = spec.hidden_size as usize;
        let experts = spec.experts.map_or(0, |experts| width(experts.count.into()));
        let mut widths = Self {
            hidden,
            query: widest(AttentionSpec::query_width),
            attended: widest(AttentionSpec::query_width),
            key: widest(AttentionSpec::key_width),
            value: widest(AttentionSpec::key_width),
            latent: 0,
            projected: width(spec.projected_width()),
            mixed: width(spec.delta_net.map_or(0, |delta| delta.value_width())),
            ffn: spec.ffn_width_max() as usize,
            experts,
            gathered: if experts > 0 { hidden } else { 0 },
            embedded: if spec.per_layer_width > 0 { hidden } else { 0 },
        };
        if let Some(latent) = attention.latent {
            widths.set_latent(&latent, attention.heads.into());
        }
        widths
    }

    fn set_latent(&mut self, latent: &LatentSpec, heads: u64) {
        let width = |values: u64| values.min(WIDTH_MAX) as usize;
        let shared = u64::from(latent.rank) + u64::from(latent.rope_dim);
        let values = heads.saturating_mul(latent.value_dim.into());
        self.query = self.query.max(width(values));
        self.latent = width(heads.saturating_mul(shared));
        (self.attended, self.key, self.value) = (self.latent, width(shared), 0);
        let parts = [latent.query_rank, latent.rank, latent.plain_dim, latent.value_dim];
        let widest = parts.into_iter().max().unwrap_or(0);
        self.gathered = self.gathered.max(width(widest.into()));
    }

    /// Floats of a row in all buffers of a tile.
    fn tile_row(self) -> usize {
        let twice = self.hidden + self.ffn + self.gathered;
        let heads = self.query + self.attended + self.key + self.value + self.latent;
        2 * twice + heads + self.projected + self.experts
    }

    fn inputs_max(self) -> usize {
        self.hidden.max(self.query).max(self.ffn).max(self.gathered).max(self.mixed)
    }
}

/// What the buffers' lengths follow from.
struct Sizes {
    rows: usize,
    tile: usize,
    logit_rows: usize,
    /// 0 where a rank has whole rows.
    logit_part: usize,
    widths: Widths,
    wire_bytes: usize,
}

impl Sizes {
    fn of(spec: &ModelSpec, config: &StageConfig) -> Self {
        // An estimate may be asked of a plan that loading refuses.
        let rows = (config.kv.step_tokens_max as usize).min(STEP_TOKENS_MAX);
        let last = config.layers.end.0 == spec.layer_count();
        let sequences = (config.kv.sequences_max as usize).min(rows);
        let slice = spec.slice(config.share);
        let widths = Widths::of(&spec.of_slice(&slice));
        Self {
            rows,
            tile: rows.min(TILE_ROWS),
            logit_part: if config.is_whole() { 0 } else { slice.vocabulary.len() },
            logit_rows: if last { sequences.clamp(1, LOGIT_ROWS) } else { 0 },
            widths,
            wire_bytes: if last { 0 } else { rows * widths.hidden * config.activation.bytes() },
        }
    }
}
