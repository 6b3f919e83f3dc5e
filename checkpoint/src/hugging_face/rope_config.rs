//! Rotary settings of a `config.json`, in the older spelling (`rope_scaling`) and the newer
//! one (`rope_parameters`).

use protocol::model_spec::{RopeLayout, RopeScaling, RopeSpec};
use serde_json::{Map, Value};

use super::json_file::Fields;
use crate::error::CheckpointError;

const THETA_DEFAULT: f32 = 10_000.0;

pub(super) fn read(config: &Fields<'_>) -> Result<RopeSpec, CheckpointError> {
    let newer = object(config, "rope_parameters")?;
    let older = object(config, "rope_scaling")?;
    let theta_of = |map: &Map<String, Value>| Fields { path: config.path, map }.f32("rope_theta");
    let theta = match config.f32("rope_theta")? {
        Some(theta) => Some(theta),
        None => newer.map(theta_of).transpose()?.flatten(),
    };
    let scaling = match newer.or(older) {
        Some(map) => scaling(&Fields { path: config.path, map }, config)?,
        None => RopeScaling::None,
    };
    Ok(RopeSpec { theta: theta.unwrap_or(THETA_DEFAULT), scaling, layout: RopeLayout::HalfSplit })
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

fn scaling(rope: &Fields<'_>, config: &Fields<'_>) -> Result<RopeScaling, CheckpointError> {
    let kind = match rope.string("rope_type")? {
        Some(kind) => kind,
        None => rope.string("type")?.unwrap_or("default"),
    };
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: rope.need_f32("factor")? }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: rope.need_f32("factor")?,
            low_freq_factor: rope.need_f32("low_freq_factor")?,
            high_freq_factor: rope.need_f32("high_freq_factor")?,
            original_context_length: match rope.u32("original_max_position_embeddings")? {
                Some(length) => length,
                None => config.need_u32("original_max_position_embeddings")?,
            },
        }),
        other => Err(rope.bad("rope_type", other, "`default`, `linear` or `llama3`")),
    }
}
