//! What one tensor-parallel rank holds of each layer of its stage.
//!
//! Attention is shared out by KV heads with their query heads, feed-forward by columns of its down
//! projection, the head by rows of the vocabulary. A rank may get nothing of one of them. Layers
//! with a recurrent state are whole on the first rank.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use super::{ModelSpec, StateKind};
use crate::plan::Share;

/// The head's rows are shared out by as many.
const VOCABULARY_UNIT: u32 = 16;

/// The smallest parts that cut no quantisation block of a model's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct ShareUnits {
    /// KV heads whose columns of the output projection are whole blocks.
    pub kv_heads: u32,
    /// Columns of feed-forward's down projection.
    pub ffn: u32,
}

impl Default for ShareUnits {
    fn default() -> Self {
        Self { kv_heads: 1, ffn: 16 }
    }
}

/// One rank's part, half-open ranges of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSlice {
    pub kv_heads: Range<u32>,
    pub ffn: Range<u32>,
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
        let ShareUnits { kv_heads, ffn } = self.share_units;
        let experts = self.experts.map_or((0, 0), |e| (e.ffn_size, e.shared_ffn_size));
        ShareSlice {
            kv_heads: part(self.attention.kv_heads, kv_heads, share),
            ffn: part(self.ffn_size, ffn, share),
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
        let attention = &mut local.attention;
        attention.heads = slice.heads(self.heads_per_kv_head()).len() as u32;
        attention.kv_heads = slice.kv_heads.len() as u32;
        local.ffn_size = slice.ffn.len() as u32;
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

    /// Query heads that read the same keys.
    pub fn heads_per_kv_head(&self) -> u32 {
        self.attention.heads.checked_div(self.attention.kv_heads).unwrap_or(0)
    }
}

impl ShareSlice {
    /// The query heads of its KV heads.
    pub fn heads(&self, per_kv_head: u32) -> Range<u32> {
        self.kv_heads.start * per_kv_head..self.kv_heads.end * per_kv_head
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
