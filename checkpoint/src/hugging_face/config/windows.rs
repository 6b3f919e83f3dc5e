//! Which layers attend to a sliding window, and how long it is.

use protocol::model_spec::{Architecture, ModelSpec, StateKind};
use serde_json::Value;

use crate::error::CheckpointError;
use crate::hugging_face::json_file::Fields;

pub(super) fn read(fields: &Fields<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    let Some(length) = fields.u32("sliding_window")? else {
        return Ok(());
    };
    let listed = listed(fields, spec.layers.len())?;
    let usual = usual(fields, spec.architecture)?;
    for (i, layer) in spec.layers.iter_mut().enumerate() {
        let windowed = match &listed {
            Some(kinds) => kinds[i],
            None => usual(i as u32),
        };
        if windowed {
            if length == 0 {
                return Err(fields.bad("sliding_window", length, "at least 1"));
            }
            layer.state = StateKind::PagedKv { window: Some(length) };
        }
    }
    Ok(())
}

/// `layer_types`, which newer files have: whether each layer has a window.
fn listed(fields: &Fields<'_>, count: usize) -> Result<Option<Vec<bool>>, CheckpointError> {
    const FIELD: &str = "layer_types";
    let Some(value) = fields.get(FIELD) else {
        return Ok(None);
    };
    let kind = |value: &Value| match value.as_str() {
        Some("sliding_attention") => Some(true),
        Some("full_attention") => Some(false),
        _ => None,
    };
    let kinds: Option<Vec<bool>> =
        value.as_array().and_then(|kinds| kinds.iter().map(kind).collect());
    let kinds = kinds.filter(|kinds| kinds.len() == count);
    let expected = || format!("{count} times `sliding_attention` or `full_attention`");
    kinds.map(Some).ok_or_else(|| fields.bad(FIELD, value, expected()))
}

type Windowed = Box<dyn Fn(u32) -> bool>;

/// The family's rule, where no list is given.
fn usual(fields: &Fields<'_>, architecture: Architecture) -> Result<Windowed, CheckpointError> {
    Ok(match architecture {
        Architecture::Mistral | Architecture::Mixtral | Architecture::Phi3 => Box::new(|_| true),
        Architecture::Qwen2 | Architecture::Qwen3 | Architecture::Qwen3Moe => {
            let used = fields.bool("use_sliding_window")?.unwrap_or(false);
            let first = fields.u32("max_window_layers")?.unwrap_or(0);
            Box::new(move |layer| used && layer >= first)
        }
        Architecture::Gemma2 | Architecture::GptOss => Box::new(|layer| layer % 2 == 0),
        Architecture::Gemma3 | Architecture::Gemma4 => {
            let every = fields.u32("sliding_window_pattern")?.unwrap_or(6);
            if every == 0 {
                return Err(fields.bad("sliding_window_pattern", every, "at least 1"));
            }
            Box::new(move |layer| (layer + 1) % every != 0)
        }
        Architecture::Llama
        | Architecture::Glm4Moe
        | Architecture::DeepseekV3
        | Architecture::Qwen3Next
        | Architecture::Qwen35
        | Architecture::Qwen35Moe => Box::new(|_| false),
    })
}
