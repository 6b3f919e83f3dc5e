//! Rotary settings of a GGUF file: fields, and small tensors with a divisor per frequency.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use protocol::model_spec::{Architecture, ModelSpec, RopeLayout, RopeScaling, RopeSpec};

use super::shapes::Shapes;
use crate::error::CheckpointError;
use crate::tensor::TensorEntry;
use crate::weight_type::WeightType;

const DIVISORS: &str = "rope_freqs.weight";
const SHORT: &str = "rope_factors_short.weight";
const LONG: &str = "rope_factors_long.weight";
/// More than any head has frequencies.
const DIVISORS_MAX: u64 = 1 << 14;

/// What the fields say; `with_divisors` adds what the tensors say.
pub(super) fn read(shapes: &Shapes<'_>, spec: &ModelSpec) -> Result<RopeSpec, CheckpointError> {
    let head_dim = spec.attention.head_dim;
    const DIMENSIONS: &str = "rope.dimension_count";
    let dims = shapes.u32(DIMENSIONS)?.unwrap_or(head_dim);
    let partial = matches!(
        spec.architecture,
        Architecture::Phi3 | Architecture::Glm4Moe | Architecture::DeepseekV3
    ) || spec.architecture.is_hybrid();
    if dims != head_dim && !partial {
        let expected = format!("the head length, {head_dim}: the whole head rotates");
        return Err(shapes.fields.bad(&shapes.key(DIMENSIONS), dims, expected));
    }
    Ok(RopeSpec {
        theta: shapes.f32("rope.freq_base")?.unwrap_or(10_000.0),
        scaling: scaling(shapes, spec)?,
        layout: match spec.architecture {
            // The converter permutes the rows of q and k of Llama, and of what is built like it;
            // DeepSeek rotates neighbours from the start.
            Architecture::Llama
            | Architecture::Mistral
            | Architecture::Mixtral
            | Architecture::DeepseekV3 => RopeLayout::Interleaved,
            _ => RopeLayout::HalfSplit,
        },
        dims,
    })
}

fn scaling(shapes: &Shapes<'_>, spec: &ModelSpec) -> Result<RopeScaling, CheckpointError> {
    let fields = shapes.fields;
    let kind = shapes.key("rope.scaling.type");
    let factor = || {
        let key = shapes.key("rope.scaling.factor");
        fields.f32(&key)?.ok_or_else(|| fields.missing(&key))
    };
    match fields.string(&kind)? {
        None => match shapes.f32("rope.scale_linear")? {
            Some(factor) if factor != 1.0 => Ok(RopeScaling::Linear { factor }),
            _ => Ok(RopeScaling::None),
        },
        Some("none" | "longrope") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear { factor: factor()? }),
        Some("yarn") => yarn(shapes, spec.architecture, factor()?),
        Some(other) => Err(fields.bad(&kind, other, "`none`, `linear`, `longrope` or `yarn`")),
    }
}

fn yarn(
    shapes: &Shapes<'_>,
    architecture: Architecture,
    factor: f32,
) -> Result<RopeScaling, CheckpointError> {
    let number = |suffix: &str, usual: f32| -> Result<f32, CheckpointError> {
        Ok(shapes.f32(suffix)?.unwrap_or(usual))
    };
    let magnitude = match architecture {
        // Scores are scaled instead.
        Architecture::DeepseekV3 => 1.0,
        // Ministral 3's two factors are divided by each other.
        Architecture::Mistral => {
            let grown = |weight: f32| 1.0 + 0.1 * f64::from(weight * factor.max(1.0).ln());
            let all = number("rope.scaling.yarn_log_multiplier", 0.0)?;
            (grown(1.0) / grown(all)) as f32
        }
        _ => {
            let own = number("rope.scaling.attn_factor", 1.0)?;
            own * (1.0 + 0.1 * f64::from(factor.max(1.0)).ln()) as f32
        }
    };
    Ok(RopeScaling::Yarn {
        factor,
        original_context_length: shapes.need_u32("rope.scaling.original_context_length")?,
        beta_fast: number("rope.scaling.yarn_beta_fast", 32.0)?,
        beta_slow: number("rope.scaling.yarn_beta_slow", 1.0)?,
        magnitude,
        // The file does not say it: gpt-oss alone was trained without.
        rounded_ramp: architecture != Architecture::GptOss,
    })
}

/// The scaling that the small tensors of a file say: a part of the configuration.
pub(super) fn with_divisors(
    shapes: &Shapes<'_>,
    file: impl Fn(&TensorEntry) -> std::path::PathBuf,
    spec: &mut ModelSpec,
) -> Result<(), CheckpointError> {
    let half = u64::from(spec.rope.dims) / 2;
    let read = |name: &str| {
        let tensor = shapes.tensor(name);
        tensor.map(|tensor| divisors(&file(tensor), tensor, half)).transpose()
    };
    let found = match (read(DIVISORS)?, read(SHORT)?, read(LONG)?) {
        (None, None, None) => return Ok(()),
        (Some(factors), None, None) => RopeScaling::FrequencyFactors { factors },
        (None, Some(short), Some(long)) => RopeScaling::LongRope {
            short,
            long,
            original_context_length: shapes.need_u32("rope.scaling.original_context_length")?,
            magnitude: shapes.f32("rope.scaling.attn_factor")?.unwrap_or(1.0),
        },
        (_, short, _) => {
            let tensor = if short.is_none() { SHORT } else { LONG }.to_owned();
            return Err(CheckpointError::MissingTensor {
                path: shapes.fields.path().to_owned(),
                tensor,
            });
        }
    };
    if spec.rope.scaling != RopeScaling::None {
        let reason = "there beside another rope scaling".to_owned();
        let (path, tensor) = (shapes.fields.path().to_owned(), DIVISORS.to_owned());
        return Err(CheckpointError::BadTensor { path, tensor, reason });
    }
    spec.rope.scaling = found;
    Ok(())
}

fn divisors(path: &Path, tensor: &TensorEntry, half: u64) -> Result<Vec<f32>, CheckpointError> {
    if tensor.shape != [half] || half > DIVISORS_MAX {
        return Err(CheckpointError::WrongShape {
            path: path.to_owned(),
            tensor: tensor.name.clone(),
            found: tensor.shape.clone(),
            expected: vec![half],
        });
    }
    let bad = |reason: &str| CheckpointError::BadTensor {
        path: path.to_owned(),
        tensor: tensor.name.clone(),
        reason: reason.to_owned(),
    };
    if tensor.weight_type != WeightType::F32 {
        return Err(bad("not of type F32"));
    }
    let io = |source| CheckpointError::Io { path: path.to_owned(), source };
    let mut bytes = vec![0; tensor.bytes as usize];
    File::open(path).and_then(|f| f.read_exact_at(&mut bytes, tensor.offset)).map_err(io)?;
    let factors: Vec<f32> =
        bytes.as_chunks::<4>().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect();
    if factors.iter().any(|f| !f.is_finite() || *f <= 0.0) {
        return Err(bad("not made of positive numbers"));
    }
    Ok(factors)
}
