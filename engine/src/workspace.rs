//! Buffers of a stage, allocated when it loads: a step allocates next to nothing.

use std::sync::Arc;

use protocol::limits::STEP_TOKENS_MAX;
use protocol::model_spec::ModelSpec;

use crate::config::{HEAD_DIM_MAX, StageConfig};
use crate::kernels::Compute;
use crate::layers::{LOGIT_ROWS, MatmulScratch, RopeRows, attention_scratch_floats};

/// Rows that run through a layer together. What a row yields does not depend on it; it bounds
/// memory and keeps a tile's activations in cache.
pub(crate) const TILE_ROWS: usize = 128;

/// Space of a whole step.
pub(crate) struct Workspace {
    // [step_tokens_max, hidden]
    pub(crate) hidden: Vec<f32>,
    /// The same as raw values of the activation type, for the next stage; empty on the last.
    pub(crate) wire: Vec<u8>,
    pub(crate) angles: RopeRows,
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
    // [tile, ffn]
    gate: Vec<f32>,
    up: Vec<f32>,
    pub(crate) matmul: MatmulScratch,
}

/// Space of sampled rows; empty on all stages but the last.
pub(crate) struct LogitSpace {
    // [LOGIT_ROWS, hidden]
    pub(crate) hidden: Vec<f32>,
    pub(crate) normed: Vec<f32>,
    // [LOGIT_ROWS, vocabulary]
    pub(crate) logits: Vec<f32>,
}

/// `TileSpace` cut to the rows at hand.
pub(crate) struct TileRows<'a> {
    pub(crate) normed: &'a mut [f32],
    pub(crate) output: &'a mut [f32],
    pub(crate) query: &'a mut [f32],
    pub(crate) attended: &'a mut [f32],
    pub(crate) key: &'a mut [f32],
    pub(crate) value: &'a mut [f32],
    pub(crate) gate: &'a mut [f32],
    pub(crate) up: &'a mut [f32],
    pub(crate) matmul: &'a mut MatmulScratch,
}

#[derive(Clone, Copy)]
struct Widths {
    hidden: usize,
    query: usize,
    key: usize,
    ffn: usize,
}

impl Workspace {
    pub(crate) fn new(spec: &ModelSpec, config: &StageConfig, compute: Arc<Compute>) -> Self {
        let sizes = Sizes::of(spec, config);
        let Sizes { rows, tile, logit_rows, widths, .. } = sizes;
        let zeros = |floats: usize| vec![0.0; floats];
        Self {
            hidden: zeros(rows * widths.hidden),
            wire: vec![0; sizes.wire_bytes],
            angles: RopeRows::with_capacity(rows, spec.attention.head_dim as usize),
            tile: TileSpace {
                widths,
                normed: zeros(tile * widths.hidden),
                output: zeros(tile * widths.hidden),
                query: zeros(tile * widths.query),
                attended: zeros(tile * widths.query),
                key: zeros(tile * widths.key),
                value: zeros(tile * widths.key),
                gate: zeros(tile * widths.ffn),
                up: zeros(tile * widths.ffn),
                matmul: MatmulScratch::new(compute, tile, widths.inputs_max()),
            },
            logits: LogitSpace {
                hidden: zeros(logit_rows * widths.hidden),
                normed: zeros(logit_rows * widths.hidden),
                logits: zeros(logit_rows * spec.vocab_size as usize),
            },
        }
    }

    /// Memory of such a workspace, scratch of the compute threads included.
    pub(crate) fn bytes(spec: &ModelSpec, config: &StageConfig, threads: usize) -> u64 {
        let Sizes { rows, tile, logit_rows, widths, wire_bytes } = Sizes::of(spec, config);
        let vocabulary = spec.vocab_size as usize;
        let tile_row = 2 * (widths.hidden + widths.query + widths.key + widths.ffn);
        let step_row = widths.hidden + spec.attention.head_dim as usize;
        let logits = logit_rows * (2 * widths.hidden + vocabulary);
        let floats = (rows * step_row + tile * tile_row + logits) as u64;
        let thread = attention_scratch_floats(
            spec.attention,
            config.kv.context_length,
            config.kv.block_size,
        );
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
            attended: &mut self.attended[..rows * widths.query],
            key: &mut self.key[..rows * widths.key],
            value: &mut self.value[..rows * widths.key],
            gate: &mut self.gate[..rows * widths.ffn],
            up: &mut self.up[..rows * widths.ffn],
            matmul: &mut self.matmul,
        }
    }
}

impl Widths {
    fn of(spec: &ModelSpec) -> Self {
        let head_dim = spec.attention.head_dim.min(HEAD_DIM_MAX) as usize;
        Self {
            hidden: spec.hidden_size as usize,
            query: spec.attention.heads as usize * head_dim,
            key: spec.attention.kv_heads as usize * head_dim,
            ffn: spec.ffn_size as usize,
        }
    }

    fn inputs_max(self) -> usize {
        self.hidden.max(self.query).max(self.ffn)
    }
}

/// What the buffers' lengths follow from.
struct Sizes {
    rows: usize,
    tile: usize,
    logit_rows: usize,
    widths: Widths,
    wire_bytes: usize,
}

impl Sizes {
    fn of(spec: &ModelSpec, config: &StageConfig) -> Self {
        // An estimate may be asked of a plan that loading refuses.
        let rows = (config.kv.step_tokens_max as usize).min(STEP_TOKENS_MAX);
        let last = config.layers.end.0 == spec.layer_count();
        let sequences = (config.kv.sequences_max as usize).min(rows);
        let widths = Widths::of(spec);
        Self {
            rows,
            tile: rows.min(TILE_ROWS),
            logit_rows: if last { sequences.clamp(1, LOGIT_ROWS) } else { 0 },
            widths,
            wire_bytes: if last { 0 } else { rows * widths.hidden * config.activation.bytes() },
        }
    }
}
