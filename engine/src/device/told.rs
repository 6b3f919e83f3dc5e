//! What a stage will take of a device's memory, before it takes any.

use checkpoint::{HeldMatrix, Manifest, StorageError, held_on_device};
use protocol::model_spec::{AttentionSpec, ModelSpec};

use super::placed::placed_bytes;
use super::spans::PARTIAL_BYTES;
use super::target::Target;
use super::tiles::{QUERIES, SPAN};
use crate::config::StageConfig;
use crate::layers::LOGIT_ROWS;
use crate::memory::StageMemory;
use crate::state::KvPool;

/// Layers that the model does not have count nothing.
pub(crate) fn memory(
    target: &Target,
    manifest: &Manifest,
    config: &StageConfig,
) -> Result<StageMemory, StorageError> {
    let (spec, is_cpu) = (&manifest.spec, target.device.is_cpu());
    let local = spec.of_slice(&spec.slice(config.share));
    let matrix = |matrix: HeldMatrix<'_>| placed_bytes(matrix, is_cpu);
    Ok(StageMemory {
        weights: held_on_device(manifest, config.layers, config.share, &matrix)?,
        kv: KvPool::bytes(&local, config),
        workspace: workspace(spec, &local, config),
    })
}

/// A bound on what a step takes at a time: a layer's rows in every form that they have in it, twice
/// where an operation reads one and writes another, and the logits of a group of rows.
fn workspace(spec: &ModelSpec, local: &ModelSpec, config: &StageConfig) -> u64 {
    let rows = u64::from(config.kv.step_tokens_max);
    let hidden = u64::from(spec.hidden_size);
    let attention = local.attentions().map(attention_width).max().unwrap_or(0);
    let experts = spec.experts.map_or(0, |experts| u64::from(experts.count) + 2 * hidden);
    let ffn = local.ffn_width_max() as u64;
    let row = 8 * hidden + (2 * attention).max(4 * ffn + experts);
    let angles = spec.attentions().map(|a| u64::from(a.head_dim)).sum::<u64>();
    let last = config.layers.end.0 == spec.layer_count();
    let logit_rows = u64::from(config.kv.sequences_max).min(LOGIT_ROWS as u64);
    let logits = if last { 3 * logit_rows * u64::from(spec.vocab_size) } else { 0 };
    let tables = u64::from(config.kv.sequences_max) * u64::from(config.kv.blocks);
    let floats = rows.saturating_mul(row.saturating_add(angles + 8));
    let floats = floats.saturating_add(logits).saturating_add(tables);
    4 * floats + local.attentions().map(|a| span_bytes(a, config)).max().unwrap_or(0)
}

/// What attention by spans yields before they are merged: of one tile at least.
fn span_bytes(attention: &AttentionSpec, config: &StageConfig) -> u64 {
    let value_dim = attention.latent.map_or(attention.head_dim, |latent| latent.rank);
    let spans = u64::from(config.kv.context_length) / SPAN as u64 + 2;
    let row = 4 * u64::from(attention.heads) * (u64::from(value_dim) + 2) * spans;
    let rows = u64::from(config.kv.step_tokens_max);
    (rows * row).min((PARTIAL_BYTES as u64).max(QUERIES as u64 * row))
}

/// Floats of a row's queries, keys, values and results.
fn attention_width(attention: &AttentionSpec) -> u64 {
    let heads = u64::from(attention.heads);
    match attention.latent {
        None => 3 * attention.query_width() + attention.query_rows() + 3 * attention.key_width(),
        Some(latent) => {
            let shared = u64::from(latent.rank) + u64::from(latent.rope_dim);
            let own = u64::from(latent.plain_dim) + u64::from(latent.value_dim);
            heads * (2 * shared + 2 * own) + 2 * shared + u64::from(latent.query_rank)
        }
    }
}
