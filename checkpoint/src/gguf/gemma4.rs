//! Gemma 4 in a GGUF file's fields: layers of two kinds of heads.

use protocol::model_spec::{AttentionSpec, ModelSpec, RopeSpec, StateKind};

use super::shapes::Shapes;
use crate::error::CheckpointError;
use crate::layout;

/// The plain fields give the heads of full layers, `*_swa` those of the layers with a window; which
/// layers these are, and how many KV heads each has, are lists.
pub(super) fn read(shapes: &Shapes<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    let window = shapes.need_u32("attention.sliding_window")?;
    let windowed = list(shapes, "attention.sliding_window_pattern", spec)?;
    let kv_heads = list(shapes, KV_HEADS, spec)?;
    for (layer, windowed) in spec.layers.iter_mut().zip(&windowed) {
        let window = Some(window).filter(|_| *windowed > 0);
        layer.state = StateKind::PagedKv { window };
    }
    let of_kind = |wanted: bool| {
        let mut of_kind = windowed.iter().zip(&kv_heads).filter(|(w, _)| (**w > 0) == wanted);
        let first = of_kind.next().map(|(_, heads)| *heads);
        let same = of_kind.all(|(_, heads)| Some(*heads) == first);
        let bad = || {
            let found = format!("{kv_heads:?}").chars().take(200).collect::<String>();
            let expected = "as many in all layers with a window, and in all without";
            shapes.fields.bad(&shapes.key(KV_HEADS), found, expected)
        };
        if same { Ok(first) } else { Err(bad()) }
    };
    let (full_kv_heads, window_kv_heads) = (of_kind(false)?, of_kind(true)?);
    let attention = &mut spec.attention;
    (attention.value_norm, attention.scale) = (true, Some(1.0));
    let mut narrow =
        AttentionSpec { head_dim: shapes.need_u32("attention.key_length_swa")?, ..*attention };
    attention.kv_heads = full_kv_heads.unwrap_or(attention.kv_heads);
    narrow.kv_heads = window_kv_heads.unwrap_or(narrow.kv_heads);
    let full_layer = windowed.iter().position(|windowed| *windowed == 0);
    let has_values = |layer| shapes.layers_with("attn_v.weight").any(|found| found == layer);
    attention.values_are_keys = full_layer.is_some_and(|layer| !has_values(layer));
    let dims = shapes.u32("rope.dimension_count_swa")?.unwrap_or(narrow.head_dim);
    let theta = shapes.f32("rope.freq_base_swa")?.unwrap_or(10_000.0);
    spec.window_rope = Some(RopeSpec::plain(theta, dims));
    spec.window_attention = Some(narrow);
    small_kinds(shapes, spec)
}

/// What the small models have: layers with an input of their own, and layers without keys, whose
/// feed-forward may be of another width.
fn small_kinds(shapes: &Shapes<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    const SHARED: &str = "attention.shared_kv_layers";
    spec.per_layer_width = shapes.u32("embedding_length_per_layer_input")?.unwrap_or(0);
    let shared = shapes.u32(SHARED)?.unwrap_or(0);
    if !layout::share_keys(spec, shared) {
        let expected = "fewer than the layers of each kind";
        return Err(shapes.fields.bad(&shapes.key(SHARED), shared, expected));
    }
    let widths = list(shapes, FFN_SIZE, spec)?;
    let (own, reusing) = widths.split_at(widths.len() - shared as usize);
    let same = |widths: &[u32]| widths.iter().all(|width| Some(width) == widths.first());
    if !same(own) || !same(reusing) {
        let found = format!("{widths:?}").chars().take(200).collect::<String>();
        let expected = "one width, and one for the layers without keys of their own";
        return Err(shapes.fields.bad(&shapes.key(FFN_SIZE), found, expected));
    }
    spec.ffn_size = own.first().copied().unwrap_or(0);
    spec.reusing_ffn_size = reusing.first().copied().filter(|width| *width != spec.ffn_size);
    Ok(())
}

pub(super) const FFN_SIZE: &str = "feed_forward_length";

pub(super) const KV_HEADS: &str = "attention.head_count_kv";

fn list(shapes: &Shapes<'_>, field: &str, spec: &ModelSpec) -> Result<Vec<u32>, CheckpointError> {
    let key = shapes.key(field);
    let list = shapes.fields.per_layer(&key, spec.layers.len())?;
    list.ok_or_else(|| shapes.fields.missing(&key))
}
