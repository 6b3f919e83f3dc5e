//! How a folder stores its matrices, as its `quantization_config` says.

use serde_json::{Map, Value, json};

use super::json_file::Fields;
use crate::error::CheckpointError;

const FIELD: &str = "quantization_config";

/// The method of a folder; which matrices it is used for is seen by their tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantisation {
    None,
    /// Expert matrices in MXFP4 (gpt-oss).
    Mxfp4,
    /// Matrices in E4M3 with scales.
    Float8,
}

impl Quantisation {
    /// For people.
    pub(super) fn label(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Mxfp4 => Some("MXFP4".to_owned()),
            Self::Float8 => Some("FP8".to_owned()),
        }
    }
}

pub(super) fn read(config: &Fields<'_>) -> Result<Quantisation, CheckpointError> {
    let map: &Map<String, Value> = match config.get(FIELD) {
        None => return Ok(Quantisation::None),
        Some(Value::Object(map)) => map,
        Some(other) => return Err(config.bad(FIELD, other, "an object")),
    };
    let fields = Fields { path: config.path, map };
    let method = fields.string("quant_method")?.unwrap_or("missing");
    match method {
        "mxfp4" => Ok(Quantisation::Mxfp4),
        "fp8" => float8(&fields),
        other => {
            let expected = "`mxfp4` or `fp8`; else take the unquantised folder, or a GGUF file";
            Err(fields.bad("quantization_config.quant_method", other, expected))
        }
    }
}

fn float8(fields: &Fields<'_>) -> Result<Quantisation, CheckpointError> {
    if let Some(format) = fields.string("fmt")?.filter(|format| *format != "e4m3") {
        return Err(fields.bad("quantization_config.fmt", format, "`e4m3`"));
    }
    // Without it a scale is a row's or the whole matrix's.
    if let Some(block) =
        fields.get("weight_block_size").filter(|block| **block != json!([128, 128]))
    {
        return Err(fields.bad("quantization_config.weight_block_size", block, "[128, 128]"));
    }
    Ok(Quantisation::Float8)
}
