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
    /// Matrices in 4-bit codes with scales and zeros of groups; the first version of the format
    /// stores zeros less one.
    Gptq {
        zeros_less_one: bool,
    },
    /// The same, in another order.
    Awq,
}

impl Quantisation {
    /// For people.
    pub(super) fn label(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Mxfp4 => Some("MXFP4".to_owned()),
            Self::Float8 => Some("FP8".to_owned()),
            Self::Gptq { .. } => Some("GPTQ 4-bit".to_owned()),
            Self::Awq => Some("AWQ 4-bit".to_owned()),
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
        "gptq" => gptq(&fields),
        "awq" => awq(&fields),
        other => {
            let expected =
                "`mxfp4`, `fp8`, `gptq` or `awq`; else take the unquantised folder, or a GGUF file";
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

/// Group sizes are seen by the scales; whether columns are in an order of their own by `g_idx`.
fn gptq(fields: &Fields<'_>) -> Result<Quantisation, CheckpointError> {
    four_bits(fields, "bits")?;
    match fields.string("checkpoint_format")?.unwrap_or("gptq") {
        "gptq" => Ok(Quantisation::Gptq { zeros_less_one: true }),
        "gptq_v2" => Ok(Quantisation::Gptq { zeros_less_one: false }),
        other => {
            let field = "quantization_config.checkpoint_format";
            Err(fields.bad(field, other, "`gptq` or `gptq_v2`"))
        }
    }
}

fn awq(fields: &Fields<'_>) -> Result<Quantisation, CheckpointError> {
    // AutoAWQ's own files say `w_bit`.
    let field = if fields.get("w_bit").is_some() { "w_bit" } else { "bits" };
    four_bits(fields, field)?;
    if let Some(version) =
        fields.string("version")?.filter(|version| !version.eq_ignore_ascii_case("gemm"))
    {
        return Err(fields.bad("quantization_config.version", version, "`gemm`"));
    }
    if fields.bool("zero_point")? == Some(false) {
        return Err(fields.bad("quantization_config.zero_point", false, "true"));
    }
    Ok(Quantisation::Awq)
}

fn four_bits(fields: &Fields<'_>, field: &str) -> Result<(), CheckpointError> {
    let bits = fields.need_u32(field)?;
    if bits == 4 { Ok(()) } else { Err(fields.bad(&format!("{FIELD}.{field}"), bits, "4")) }
}
