//! What one tensor-parallel rank holds of each layer of its stage.
//!
//! Attention is shared out by KV heads with their query heads, feed-forward by columns of its down
//! projection, the head by rows of the vocabulary. A rank may get nothing of one of them. Layers
//! with a recurrent state are whole on the first rank.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use super::{LayerRange, ModelSpec, StateKind};
use crate::ids::LayerIndex;
use crate::plan::Share;

/// The head's rows are shared out by as many.
const VOCABULARY_UNIT: u32 = 16;

/// The smallest parts that cut no quantisation block of a model's weights.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema,
)]
pub struct ShareUnits {
    /// KV heads whose columns of the output projection are whole blocks.
    pub kv_heads: u32,
    /// The same in the layers with a window.
    pub window_kv_heads: u32,
    /// Columns of feed-forward's down projection.
    pub ffn: u32,
}

impl Default for ShareUnits {
    fn default() -> Self {
        Self { kv_heads: 1, window_kv_heads: 1, ffn: 16 }
    }
}

/// One rank's part, half-open ranges of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSlice {
    pub kv_heads: Range<u32>,
    /// In the layers with a window.
    pub window_kv_heads: Range<u32>,
    pub ffn: Range<u32>,
    /// Of the layers that read another's keys.
    pub reusing_ffn: Range<u32>,
    /// Of every expert.
    pub expert_ffn: Range<u32>,
    pub shared_ffn: Range<u32>,
    pub vocabulary: Range<u32>,
    /// What is added once to a sum over ranks (biases), and what is not shared out (delta nets), is
    /// the first rank's.
    pub is_first: bool,
}

impl ModelSpec {
    /// The part of `share`; the slices of a plan's shares cover the model without overlap.
    pub fn slice(&self, share: Share) -> ShareSlice {
        let ShareUnits { kv_heads, window_kv_heads, ffn } = self.share_units;
        let windowed = self.window_attention.as_ref().unwrap_or(&self.attention).kv_heads;
        let experts = self.experts.map_or((0, 0), |e| (e.ffn_size, e.shared_ffn_size));
        ShareSlice {
            kv_heads: part(self.attention.kv_heads, kv_heads, share),
            window_kv_heads: part(windowed, window_kv_heads, share),
            ffn: part(self.ffn_size, ffn, share),
            reusing_ffn: part(self.reusing_ffn_size.unwrap_or(self.ffn_size), ffn, share),
            expert_ffn: part(experts.0, ffn, share),
            shared_ffn: part(experts.1, ffn, share),
            vocabulary: part(self.vocab_size, VOCABULARY_UNIT, share),
            is_first: share.start == 0,
        }
    }

    /// The model as the rank of `slice` computes it: fewer heads and narrower feed-forwards. Sizes
    /// in bytes stay those of the whole, but for the state of what it does not compute.
    pub fn of_slice(&self, slice: &ShareSlice) -> Self {
        let mut local = self.clone();
        let kinds = [
            (Some(&mut local.attention), &slice.kv_heads),
            (local.window_attention.as_mut(), &slice.window_kv_heads),
        ];
        for (attention, kv_heads) in kinds {
            let Some(attention) = attention else { continue };
            attention.heads = attention.heads_per_kv_head() * kv_heads.len() as u32;
            attention.kv_heads = kv_heads.len() as u32;
        }
        local.ffn_size = slice.ffn.len() as u32;
        local.reusing_ffn_size = self.reusing_ffn_size.map(|_| slice.reusing_ffn.len() as u32);
        if let Some(experts) = &mut local.experts {
            experts.ffn_size = slice.expert_ffn.len() as u32;
            experts.shared_ffn_size = slice.shared_ffn.len() as u32;
        }
        if !slice.is_first {
            local.delta_net = None;
            for layer in &mut local.layers {
                if let StateKind::Recurrent { bytes } = &mut layer.state {
                    *bytes = 0;
                }
            }
        }
        local
    }

    /// The KV heads of `slice` in a layer, and their query heads.
    pub fn heads_of(&self, layer: LayerIndex, slice: &ShareSlice) -> (Range<u32>, Range<u32>) {
        let windowed = self.window_attention.is_some() && self.window_of(layer).is_some();
        let kv_heads = if windowed { &slice.window_kv_heads } else { &slice.kv_heads };
        let each = self.attention_of(layer).heads_per_kv_head();
        (kv_heads.clone(), kv_heads.start * each..kv_heads.end * each)
    }

    /// About what part of a layer's weights the rank of `slice` holds and computes: norms, which
    /// every rank has, and the low ranks of latent attention count as if they were shared out.
    pub fn layer_part(&self, layer: LayerIndex, slice: &ShareSlice) -> f64 {
        let spec = &self.layers[layer.0 as usize];
        let (hidden, attention) = (f64::from(self.hidden_size), self.attention_of(layer));
        let part = |of: &Range<u32>, all: u32| f64::from(of.len() as u32) / f64::from(all.max(1));
        let (mixer, mixer_part) = if spec.is_recurrent() {
            let width = self.delta_net.map_or(0, |delta| delta.workspace_width());
            (width as f64 * 2.0, f64::from(u8::from(slice.is_first)))
        } else {
            let width = attention.query_rows() + attention.query_width();
            let width = width + 2 * attention.key_width();
            (width as f64, part(&self.heads_of(layer, slice).0, attention.kv_heads))
        };
        let (ffn, ffn_part) = match self.experts.filter(|_| self.has_experts(layer)) {
            None => (f64::from(self.ffn_size), part(&slice.ffn, self.ffn_size)),
            Some(experts) => {
                let routed = f64::from(experts.count) * f64::from(experts.ffn_size);
                let shared = f64::from(experts.shared_ffn_size);
                let dense = if experts.beside_dense { f64::from(self.ffn_size) } else { 0.0 };
                let own = routed * part(&slice.expert_ffn, experts.ffn_size)
                    + shared * part(&slice.shared_ffn, experts.shared_ffn_size)
                    + dense * part(&slice.ffn, self.ffn_size);
                let all = routed + shared + dense;
                (all, if all > 0.0 { own / all } else { 0.0 })
            }
        };
        let (mixer, ffn) = (mixer * hidden, 3.0 * ffn * hidden);
        (mixer * mixer_part + ffn * ffn_part) / (mixer + ffn).max(1.0)
    }

    /// About what part of the head's rows the rank of `slice` holds.
    pub fn head_part(&self, slice: &ShareSlice) -> f64 {
        slice.vocabulary.len() as f64 / f64::from(self.vocab_size.max(1))
    }

    /// Weight bytes that the rank of `share` holds in a stage of `range`, about: the embedding is
    /// whole on every rank, a tied head is held once more as the rank's own rows.
    pub fn share_weight_bytes(&self, range: LayerRange, share: Share) -> u64 {
        if share.units == share.of {
            return self.stage_weight_bytes(range);
        }
        let slice = self.slice(share);
        let layer = |index: usize| {
            let part = self.layer_part(LayerIndex(index as u32), &slice);
            (self.layers[index].weight_bytes as f64 * part) as u64
        };
        let layers: u64 = range.indices().map(layer).sum();
        let embedding = if self.embeds(range) { self.embedding_bytes } else { 0 };
        let last = range.end.0 == self.layer_count();
        let head = if last { self.head_bytes as f64 * self.head_part(&slice) } else { 0.0 };
        layers + embedding + head as u64
    }

    /// The model as the rank of `share` computes it, see `of_slice`.
    pub fn of_share(&self, share: Share) -> Self {
        if share.units == share.of { self.clone() } else { self.of_slice(&self.slice(share)) }
    }
}

/// Units are dealt out as the share says, each whole; the last may be a shorter one. The first
/// rank gets one in any case.
fn part(total: u32, unit: u32, share: Share) -> Range<u32> {
    let unit = unit.max(1);
    let units = u64::from(total.div_ceil(unit));
    let of = u64::from(share.of.max(1));
    let edge = |at: u64| ((at * units).div_ceil(of) * u64::from(unit)).min(total.into()) as u32;
    let start = u64::from(share.start);
    edge(start)..edge(start + u64::from(share.units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_the_whole_in_order_and_cut_no_unit() {
        for (total, unit) in [(8, 1), (8, 2), (896, 256), (11, 4), (3, 1), (0, 16)] {
            for weights in [&[1, 1][..], &[1, 1, 1], &[5, 2, 1], &[1, 7], &[1; 9]] {
                let of = weights.iter().sum();
                let (mut start, mut covered) = (0, 0);
                for &units in weights {
                    let range = part(total, unit, Share { start, units, of });
                    assert_eq!(range.start, covered, "{total} in {unit}s by {weights:?}");
                    assert!(range.end == total || range.end.is_multiple_of(unit));
                    (start, covered) = (start + units, range.end);
                }
                assert_eq!(covered, total);
            }
        }
    }
}
