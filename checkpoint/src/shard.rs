//! Which part of each tensor a tensor-parallel rank holds.

use std::ops::Range;

use protocol::ids::LayerIndex;
use protocol::model_spec::{AttentionSpec, ModelSpec, ShareSlice, ShareUnits};

use crate::stored::column_block;
use crate::tensor::TensorEntry;

/// The part of a tensor; ranges are half open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorPart {
    Whole,
    /// Of a matrix, or elements of a vector.
    Rows(Range<u64>),
    /// Of a matrix; never through a block.
    Columns(Range<u64>),
    /// Nothing: another rank has it.
    Nothing,
}

/// The part of the tensor called `name` (canonical, e.g. `blk.0.attn_q.weight`). The embedding is
/// whole on every rank; a tied head reads its rows (`ShareSlice::vocabulary`) once more.
pub fn part_of(spec: &ModelSpec, slice: &ShareSlice, name: &str) -> TensorPart {
    use TensorPart::{Columns, Nothing, Rows, Whole};
    let part = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    let Some((layer, part)) = part.and_then(|(layer, part)| Some((layer.parse().ok()?, part)))
    else {
        return if name == "output.weight" { Rows(wide(&slice.vocabulary, 1)) } else { Whole };
    };
    let attention = spec.attention_of(LayerIndex(layer));
    let (kv_heads, heads) = spec.heads_of(LayerIndex(layer), slice);
    let (base, suffix) = part.rsplit_once('.').unwrap_or((part, ""));
    let whole_of_first = if slice.is_first { Whole } else { Nothing };
    let summed_bias = |of: TensorPart| match suffix {
        "bias" if slice.is_first => Whole,
        "bias" => Nothing,
        _ => of,
    };
    match base {
        "attn_q" => Rows(wide(&heads, attention.query_rows_per_head())),
        "attn_q_b" => Rows(wide(&heads, attention.head_dim)),
        "attn_k" | "attn_v" => Rows(wide(&kv_heads, attention.head_dim)),
        "attn_sinks" => Rows(wide(&heads, 1)),
        "attn_output" => summed_bias(Columns(wide(&heads, attention.value_dim()))),
        "attn_qkv" | "attn_gate" => whole_of_first,
        _ if part.starts_with("ssm_") => whole_of_first,
        "ffn_gate_inp" => Whole,
        _ => {
            match base.split_once('.') {
                Some(("attn_k_b" | "attn_v_b", head)) => match head.parse() {
                    Ok(head) if heads.contains(&head) => Whole,
                    _ => Nothing,
                },
                _ => feed_forward(slice, (spec, LayerIndex(layer)), base).map_or(Whole, |part| {
                    match part {
                        Columns(_) => summed_bias(part),
                        _ => part,
                    }
                }),
            }
        }
    }
}

/// Rows of gate and up, columns of down: dense, of an expert (`ffn_up.7`), of the shared one.
fn feed_forward(
    slice: &ShareSlice,
    (spec, layer): (&ModelSpec, LayerIndex),
    base: &str,
) -> Option<TensorPart> {
    let dense = if spec.kv_layer(layer) == layer { &slice.ffn } else { &slice.reusing_ffn };
    let (part, width) = match base.strip_suffix("_shexp") {
        Some(part) => (part, &slice.shared_ffn),
        None => match base.split_once('.') {
            Some((part, _)) => (part, &slice.expert_ffn),
            None => (base, dense),
        },
    };
    match part {
        "ffn_gate" | "ffn_up" => Some(TensorPart::Rows(wide(width, 1))),
        "ffn_down" => Some(TensorPart::Columns(wide(width, 1))),
        _ => None,
    }
}

fn wide(range: &Range<u32>, width: u32) -> Range<u64> {
    let width = u64::from(width);
    u64::from(range.start) * width..u64::from(range.end) * width
}

/// The smallest parts that cut no block of these tensors.
pub fn share_units(spec: &ModelSpec, tensors: &[TensorEntry]) -> ShareUnits {
    let block = |part: &str| {
        let of_part = (0..tensors.len())
            .filter(|i| tensors[*i].name.contains(part))
            .map(|i| column_block(&tensors[i..]));
        of_part.max().unwrap_or(1)
    };
    let columns_block = block(".attn_output.");
    let whole_heads = |attention: &AttentionSpec| {
        let columns = u64::from(attention.heads_per_kv_head()) * u64::from(attention.value_dim());
        let whole = |heads: &u32| (u64::from(*heads) * columns).is_multiple_of(columns_block);
        (1..=attention.kv_heads).find(whole).unwrap_or(attention.kv_heads.max(1))
    };
    let least = u64::from(ShareUnits::default().ffn);
    ShareUnits {
        kv_heads: whole_heads(&spec.attention),
        window_kv_heads: spec.window_attention.as_ref().map_or(1, whole_heads),
        ffn: block(".ffn_down").max(least) as u32,
    }
}
