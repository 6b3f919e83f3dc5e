//! Sizes of a configuration that contradict each other or every known model.

use std::path::Path;

use protocol::model_spec::{
    Activation, AttentionSpec, DeltaNetSpec, ExpertSpec, LatentSpec, ModelSpec, RopeScaling,
    RopeSpec, StateKind,
};

use crate::error::CheckpointError;

/// Larger than any published model; keeps every later product of sizes inside 64 bits.
const SIZE_MAX: u32 = 1 << 24;
const HEADS_MAX: u32 = 1 << 14;
const EXPERTS_MAX: u32 = 1 << 12;
/// Of a sequence in one layer; the largest known models have some two million.
const RECURRENT_BYTES_MAX: u64 = 1 << 30;

/// A field, its value, and what would be right.
type Bad = (&'static str, String, String);

/// Refuses sizes that are zero, beyond every known model, or at odds with each other.
pub(crate) fn check_numbers(path: &Path, spec: &ModelSpec) -> Result<(), CheckpointError> {
    let found = find_bad(spec);
    found.map_or(Ok(()), |(field, value, expected)| {
        let (path, field) = (path.to_owned(), field.to_owned());
        Err(CheckpointError::BadField { path, field, value, expected })
    })
}

fn find_bad(spec: &ModelSpec) -> Option<Bad> {
    let attention = spec.attention;
    let sizes = [
        ("hidden size", spec.hidden_size, SIZE_MAX),
        ("feed-forward size", spec.ffn_size, SIZE_MAX),
        ("vocabulary size", spec.vocab_size, SIZE_MAX),
        ("context length", spec.context_length, u32::MAX),
    ];
    outside(&sizes)
        .or_else(|| spec.attentions().find_map(bad_heads))
        .or_else(|| attention.latent.as_ref().and_then(bad_latent))
        .or_else(|| spec.delta_net.as_ref().and_then(bad_delta_net))
        .or_else(|| bad_recurrent(spec))
        .or_else(|| bad_reuse(spec))
        .or_else(|| bad_clamp(spec))
        .or_else(|| spec.experts.as_ref().and_then(bad_experts))
        .or_else(|| {
            let good = spec.norm_epsilon >= 0.0 && spec.norm_epsilon < 1.0;
            (!good).then(|| ("norm epsilon", spec.norm_epsilon.to_string(), "0 to 1".to_owned()))
        })
        .or_else(|| {
            let windowed = spec.window_attention.as_ref().unwrap_or(&attention);
            let window_rope = spec.window_rope.as_ref().unwrap_or(&spec.rope);
            let ropes = [(&spec.rope, &attention), (window_rope, windowed)];
            ropes.into_iter().find_map(|(rope, attention)| bad_rope(rope, attention.head_dim))
        })
        .or_else(|| bad_factors(spec))
}

fn outside(sizes: &[(&'static str, u32, u32)]) -> Option<Bad> {
    let bad = sizes.iter().find(|(_, value, limit)| *value == 0 || value > limit);
    bad.map(|(field, value, limit)| (*field, value.to_string(), format!("1 to {limit}")))
}

fn bad_heads(attention: &AttentionSpec) -> Option<Bad> {
    let sizes = [
        ("attention heads", attention.heads, HEADS_MAX),
        ("key-value heads", attention.kv_heads, HEADS_MAX),
        ("head length", attention.head_dim, HEADS_MAX),
    ];
    outside(&sizes).or_else(|| {
        let heads = attention.heads;
        (!heads.is_multiple_of(attention.kv_heads)).then(|| {
            let expected = format!("a divisor of the {heads} attention heads");
            ("key-value heads", attention.kv_heads.to_string(), expected)
        })
    })
}

fn bad_latent(latent: &LatentSpec) -> Option<Bad> {
    outside(&[
        ("query rank", latent.query_rank.max(1), SIZE_MAX),
        ("key-value rank", latent.rank, HEADS_MAX),
        ("plain part of a head", latent.plain_dim, HEADS_MAX),
        ("rotated part of a head", latent.rope_dim, HEADS_MAX),
        ("value length", latent.value_dim, HEADS_MAX),
    ])
}

fn bad_delta_net(delta: &DeltaNetSpec) -> Option<Bad> {
    let sizes = [
        ("linear key heads", delta.key_heads, HEADS_MAX),
        ("linear value heads", delta.value_heads, HEADS_MAX),
        ("linear key length", delta.key_dim, HEADS_MAX),
        ("linear value length", delta.value_dim, HEADS_MAX),
        ("taps of the convolution", delta.conv_taps, 64),
    ];
    outside(&sizes).or_else(|| {
        let (keys, values) = (delta.key_heads, delta.value_heads);
        if !values.is_multiple_of(keys) {
            let expected = format!("a multiple of the {keys} linear key heads");
            return Some(("linear value heads", values.to_string(), expected));
        }
        let bytes = delta.state_bytes();
        let expected = format!("at most {RECURRENT_BYTES_MAX} bytes");
        (bytes > RECURRENT_BYTES_MAX).then(|| ("recurrent state", bytes.to_string(), expected))
    })
}

/// Layers with a recurrent state say its size themselves: it must be the one of their kind.
fn bad_recurrent(spec: &ModelSpec) -> Option<Bad> {
    let known = spec.delta_net.map(|delta| delta.state_bytes());
    let bad = spec.layers.iter().find_map(|layer| match layer.state {
        StateKind::Recurrent { bytes } if Some(bytes) != known => Some(bytes),
        _ => None,
    })?;
    let expected = format!("{} bytes", known.unwrap_or(0));
    Some(("recurrent state", bad.to_string(), expected))
}

/// A layer that reads another's keys and values: an earlier one of its kind, which keeps them.
fn bad_reuse(spec: &ModelSpec) -> Option<Bad> {
    let sizes = [
        ("layers' own input", spec.per_layer_width.max(1), SIZE_MAX),
        ("feed-forward size", spec.reusing_ffn_size.unwrap_or(1), SIZE_MAX),
    ];
    outside(&sizes).or_else(|| {
        let bad = spec.layers.iter().enumerate().find_map(|(index, layer)| {
            let StateKind::KvOf { layer: source, window } = layer.state else { return None };
            let kept = StateKind::PagedKv { window };
            let earlier = spec.layers[..index].get(source.0 as usize).map(|layer| layer.state);
            (earlier != Some(kept)).then_some(source)
        })?;
        let expected = "an earlier layer of the same kind that keeps its own".to_owned();
        Some(("layer whose keys another reads", bad.to_string(), expected))
    })
}

fn bad_clamp(spec: &ModelSpec) -> Option<Bad> {
    let Activation::ClampedSwiglu { alpha, limit } = spec.activation else { return None };
    let good = alpha.is_finite() && limit.is_finite() && limit >= 0.0;
    let expected = "a finite number of at least 0".to_owned();
    (!good).then(|| ("limit of the activation", limit.to_string(), expected))
}

fn bad_experts(experts: &ExpertSpec) -> Option<Bad> {
    let routing = experts.routing;
    let sizes = [
        ("number of experts", experts.count, EXPERTS_MAX),
        ("experts per token", experts.used, experts.count),
        ("feed-forward size of an expert", experts.ffn_size, SIZE_MAX),
        ("feed-forward size of the shared expert", experts.shared_ffn_size.max(1), SIZE_MAX),
        ("number of expert groups", routing.groups, experts.count),
        ("expert groups per token", routing.groups_used, routing.groups),
    ];
    outside(&sizes).or_else(|| {
        let (count, groups) = (experts.count, routing.groups);
        if !count.is_multiple_of(groups) {
            let expected = format!("a divisor of the {count} experts");
            return Some(("number of expert groups", groups.to_string(), expected));
        }
        if experts.used > count / groups * routing.groups_used {
            let expected = "at most the experts of the groups that compete".to_owned();
            return Some(("experts per token", experts.used.to_string(), expected));
        }
        let good = routing.scale.is_finite() && routing.scale > 0.0;
        (!good).then(|| ("expert weights scale", routing.scale.to_string(), "above 0".to_owned()))
    })
}

fn bad_rope(rope: &RopeSpec, head_dim: u32) -> Option<Bad> {
    if rope.dims == 0 || rope.dims > head_dim || !rope.dims.is_multiple_of(2) {
        let expected = format!("an even number up to the head length, {head_dim}");
        return Some(("rotated part of a head", rope.dims.to_string(), expected));
    }
    if !(rope.theta.is_finite() && rope.theta > 0.0) {
        return Some(("rope base", rope.theta.to_string(), "above 0".to_owned()));
    }
    let text = || format!("{:?}", rope.scaling).chars().take(200).collect();
    let positive = |values: &[f32]| values.iter().all(|f| f.is_finite() && *f > 0.0);
    let half = rope.dims as usize / 2;
    let counts: Vec<&[f32]> = match &rope.scaling {
        RopeScaling::FrequencyFactors { factors } => vec![factors],
        RopeScaling::LongRope { short, long, .. } => vec![short, long],
        _ => Vec::new(),
    };
    if counts.iter().any(|factors| factors.len() != half) {
        return Some(("rope scaling", text(), format!("{half} factors")));
    }
    let good = counts.iter().all(|factors| positive(factors))
        && match &rope.scaling {
            RopeScaling::None | RopeScaling::FrequencyFactors { .. } => true,
            RopeScaling::Linear { factor } => positive(&[*factor]),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, .. } => {
                positive(&[*factor, *low_freq_factor, *high_freq_factor])
                    && high_freq_factor > low_freq_factor
            }
            RopeScaling::Yarn {
                factor,
                original_context_length: original,
                beta_fast,
                beta_slow,
                magnitude,
                ..
            } => positive(&[*factor, *beta_fast, *beta_slow, *magnitude]) && *original > 0,
            RopeScaling::LongRope { magnitude, .. } => positive(&[*magnitude]),
        };
    (!good).then(|| ("rope scaling", text(), "positive finite factors".to_owned()))
}

fn bad_factors(spec: &ModelSpec) -> Option<Bad> {
    let factors = [
        ("embedding scale", Some(spec.embedding_scale)),
        ("soft cap of the logits", spec.logit_soft_cap),
        ("soft cap of the scores", spec.attention.soft_cap),
        ("attention scale", spec.attention.scale),
        ("growth of queries", spec.attention.temperature.map(|temperature| temperature.slope)),
    ];
    let bad = factors.into_iter().find_map(|(field, value)| {
        Some((field, value?)).filter(|(_, value)| !(value.is_finite() && *value > 0.0))
    });
    bad.map(|(field, value)| (field, value.to_string(), "a positive finite number".to_owned()))
}
