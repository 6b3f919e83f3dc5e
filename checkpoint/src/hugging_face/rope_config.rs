//! Rotary settings of a `config.json`, in the older spelling (`rope_scaling`) and the newer
//! one (`rope_parameters`).

use protocol::model_spec::{Architecture, ModelSpec, RopeScaling, RopeSpec, TemperatureSpec};
use serde_json::{Map, Value};

use super::json_file::Fields;
use crate::error::CheckpointError;

const THETA_DEFAULT: f32 = 10_000.0;
const HALF_HEAD_MAX: usize = 1 << 13;

/// Fills in the rotation of `spec`, whose heads are known.
pub(super) fn read(config: &Fields<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    let newer = object(config, "rope_parameters")?;
    let older = object(config, "rope_scaling")?;
    let head_dim = spec.attention.head_dim;
    if matches!(spec.architecture, Architecture::Gemma3 | Architecture::Gemma4) {
        spec.window_rope = Some(window(config, newer, spec)?);
        let kinds = newer.map(|map| Fields { path: config.path, map });
        let full = match &kinds {
            Some(kinds) => object(kinds, "full_attention")?,
            None => older,
        };
        spec.rope = one(config, full, spec, head_dim)?;
        return Ok(());
    }
    spec.rope = one(config, newer.or(older), spec, head_dim)?;
    Ok(())
}

/// The layers with a window rotate faster, and are never scaled.
fn window(
    config: &Fields<'_>,
    newer: Option<&Map<String, Value>>,
    spec: &ModelSpec,
) -> Result<RopeSpec, CheckpointError> {
    let dims = spec.window_attention.as_ref().unwrap_or(&spec.attention).head_dim;
    let Some(map) = newer else {
        let theta = config.f32("rope_local_base_freq")?.unwrap_or(THETA_DEFAULT);
        return Ok(RopeSpec::plain(theta, dims));
    };
    let fields = Fields { path: config.path, map };
    one(config, object(&fields, "sliding_attention")?, spec, dims)
}

/// One set of rotary settings; what it leaves out is looked for in the configuration itself.
fn one(
    config: &Fields<'_>,
    map: Option<&Map<String, Value>>,
    spec: &ModelSpec,
    head_dim: u32,
) -> Result<RopeSpec, CheckpointError> {
    let empty = Map::new();
    let rope = Fields { path: config.path, map: map.unwrap_or(&empty) };
    let either = |field: &str| match rope.f32(field)? {
        Some(value) => Ok(Some(value)),
        None => config.f32(field),
    };
    let theta = either("rope_theta")?.unwrap_or(THETA_DEFAULT);
    let usual = if spec.architecture.is_hybrid() { 0.25 } else { 1.0 };
    let part = either("partial_rotary_factor")?.unwrap_or(usual);
    if !(part > 0.0 && part <= 1.0) {
        return Err(config.bad("partial_rotary_factor", part, "above 0, at most 1"));
    }
    let dims = (f64::from(head_dim) * f64::from(part)) as u32;
    if rope.string("rope_type")? == Some("proportional") {
        let factor = rope.f32("factor")?.unwrap_or(1.0);
        let scaling = proportional((dims / 2) as usize, head_dim as usize / 2, factor);
        return Ok(RopeSpec { scaling, ..RopeSpec::plain(theta, head_dim) });
    }
    let scaling = scaling(&rope, config, spec)?;
    Ok(RopeSpec { scaling, ..RopeSpec::plain(theta, dims) })
}

/// Gemma 4: all pairs of a head have their place among the frequencies, and the first `turning` of
/// `all` rotate. The others' divisor is the one that GGUF files have, too large to turn anything.
fn proportional(turning: usize, all: usize, factor: f32) -> RopeScaling {
    const STILL: f32 = 1e30;
    // A head from a file may be absurdly long; the check of the numbers comes later.
    let all = all.min(HALF_HEAD_MAX);
    let factors = (0..all).map(|pair| if pair < turning { factor } else { STILL }).collect();
    RopeScaling::FrequencyFactors { factors }
}

fn object<'a>(
    config: &'a Fields<'_>,
    field: &str,
) -> Result<Option<&'a Map<String, Value>>, CheckpointError> {
    match config.get(field) {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(other) => Err(config.bad(field, other, "an object")),
    }
}

fn scaling(
    rope: &Fields<'_>,
    config: &Fields<'_>,
    spec: &ModelSpec,
) -> Result<RopeScaling, CheckpointError> {
    let kind = match rope.string("rope_type")? {
        Some(kind) => kind,
        None => rope.string("type")?.unwrap_or("default"),
    };
    let original = || match rope.u32("original_max_position_embeddings")? {
        Some(length) => Ok(length),
        None => config.need_u32("original_max_position_embeddings"),
    };
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: rope.need_f32("factor")? }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: rope.need_f32("factor")?,
            low_freq_factor: rope.need_f32("low_freq_factor")?,
            high_freq_factor: rope.need_f32("high_freq_factor")?,
            original_context_length: original()?,
        }),
        "yarn" => yarn(rope, original()?),
        "longrope" | "su" => long_rope(rope, original()?, spec),
        other => Err(rope.bad(
            "rope_type",
            other,
            "`default`, `linear`, `llama3`, `yarn`, `longrope` or `proportional`",
        )),
    }
}

fn yarn(rope: &Fields<'_>, original_context_length: u32) -> Result<RopeScaling, CheckpointError> {
    let factor = rope.need_f32("factor")?;
    let magnitude = match rope.f32("attention_factor")? {
        Some(magnitude) => magnitude,
        None => {
            let some = |field: &str| -> Result<Option<f32>, CheckpointError> {
                Ok(rope.f32(field)?.filter(|value| *value != 0.0))
            };
            match (some("mscale")?, some("mscale_all_dim")?) {
                (Some(one), Some(all)) => {
                    (yarn_magnitude(factor, one) / yarn_magnitude(factor, all)) as f32
                }
                _ => yarn_magnitude(factor, 1.0) as f32,
            }
        }
    };
    Ok(RopeScaling::Yarn {
        factor,
        original_context_length,
        beta_fast: rope.f32("beta_fast")?.unwrap_or(32.0),
        beta_slow: rope.f32("beta_slow")?.unwrap_or(1.0),
        magnitude,
        rounded_ramp: rope.bool("truncate")?.unwrap_or(true),
    })
}

/// `mscale_all_dim` of the rotary settings, 0 if there is none.
pub(super) fn yarn_all_dims(config: &Fields<'_>) -> Result<f32, CheckpointError> {
    let map = match object(config, "rope_parameters")? {
        Some(map) => Some(map),
        None => object(config, "rope_scaling")?,
    };
    let value = map.map(|map| Fields { path: config.path, map }.f32("mscale_all_dim"));
    Ok(value.transpose()?.flatten().unwrap_or(0.0))
}

/// Ministral 3's growth of queries, which stands among the rotary settings.
pub(super) fn temperature(config: &Fields<'_>) -> Result<Option<TemperatureSpec>, CheckpointError> {
    let Some(map) = object(config, "rope_parameters")? else { return Ok(None) };
    let rope = Fields { path: config.path, map };
    let Some(slope) = rope.f32("llama_4_scaling_beta")? else { return Ok(None) };
    let length = rope.need_u32("original_max_position_embeddings")?;
    Ok(Some(TemperatureSpec { slope, length }))
}

/// How much sines and cosines grow when positions are stretched by `factor`.
pub(super) fn yarn_magnitude(factor: f32, weight: f32) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * f64::from(weight) * f64::from(factor).ln() + 1.0 }
}

fn long_rope(
    rope: &Fields<'_>,
    original_context_length: u32,
    spec: &ModelSpec,
) -> Result<RopeScaling, CheckpointError> {
    let magnitude = match rope.f32("attention_factor")? {
        Some(magnitude) => magnitude,
        None => {
            let original = f64::from(original_context_length);
            let factor = match rope.f32("factor")? {
                Some(factor) => f64::from(factor),
                None => f64::from(spec.context_length) / original,
            };
            if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() as f32 }
        }
    };
    Ok(RopeScaling::LongRope {
        short: rope.need_f32_list("short_factor")?,
        long: rope.need_f32_list("long_factor")?,
        original_context_length,
        magnitude,
    })
}
