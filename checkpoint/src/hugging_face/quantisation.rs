//! How a folder stores its matrices, as its `quantization_config` says.

use serde_json::{Map, Value};

use super::json_file::Fields;
use crate::error::CheckpointError;

const FIELD: &str = "quantization_config";

/// The method of a folder; which matrices it is used for is seen by their tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantisation {
    None,
    /// Expert matrices in MXFP4 (gpt-oss).
    Mxfp4,
}

impl Quantisation {
    /// For people.
    pub(super) fn label(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Mxfp4 => Some("MXFP4".to_owned()),
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
        other => {
            let expected = "`mxfp4`; else take the unquantised folder, or a GGUF file";
            Err(fields.bad("quantization_config.quant_method", other, expected))
        }
    }
}
