//! What each family is called in model files.

use std::path::Path;

use protocol::model_spec::Architecture;

use crate::error::CheckpointError;

struct Names {
    architecture: Architecture,
    /// `general.architecture` of a GGUF file.
    gguf: Option<&'static str>,
    /// `model_type` of a `config.json`.
    config: &'static str,
}

const fn names(
    architecture: Architecture,
    gguf: Option<&'static str>,
    config: &'static str,
) -> Names {
    Names { architecture, gguf, config }
}

/// Later models of a family that say another name, with what they add in fields of their own.
const LATER: [(&str, &str); 2] = [("mistral3", "mistral"), ("ministral3", "mistral")];

/// A GGUF file of Mistral or Mixtral says `llama`; experts tell the latter apart.
const NAMES: [Names; Architecture::ALL.len()] = [
    names(Architecture::Llama, Some("llama"), "llama"),
    names(Architecture::Qwen2, Some("qwen2"), "qwen2"),
    names(Architecture::Qwen3, Some("qwen3"), "qwen3"),
    names(Architecture::Mistral, None, "mistral"),
    names(Architecture::Phi3, Some("phi3"), "phi3"),
    names(Architecture::Gemma2, Some("gemma2"), "gemma2"),
    names(Architecture::Gemma3, Some("gemma3"), "gemma3_text"),
    names(Architecture::Gemma4, Some("gemma4"), "gemma4_text"),
    names(Architecture::Mixtral, None, "mixtral"),
    names(Architecture::Qwen3Moe, Some("qwen3moe"), "qwen3_moe"),
    names(Architecture::GptOss, Some("gpt-oss"), "gpt_oss"),
    names(Architecture::Glm4Moe, Some("glm4moe"), "glm4_moe"),
    names(Architecture::DeepseekV3, Some("deepseek2"), "deepseek_v3"),
    names(Architecture::Qwen3Next, Some("qwen3next"), "qwen3_next"),
    names(Architecture::Qwen35, Some("qwen35"), "qwen3_5_text"),
    names(Architecture::Qwen35Moe, Some("qwen35moe"), "qwen3_5_moe_text"),
];

/// The family of a GGUF file's architecture, or an error that lists the known ones.
pub(crate) fn of_gguf(path: &Path, name: &str) -> Result<Architecture, CheckpointError> {
    // Before the third generation their files say `llama`.
    if name == "mistral3" {
        return Ok(Architecture::Mistral);
    }
    find(path, name, |names| names.gguf)
}

/// The family of a configuration's model type, or an error that lists the known ones.
pub(crate) fn of_config(path: &Path, name: &str) -> Result<Architecture, CheckpointError> {
    let later = LATER.iter().find(|(later, _)| *later == name);
    find(path, later.map_or(name, |(_, first)| first), |names| Some(names.config))
}

fn find(
    path: &Path,
    wanted: &str,
    name: impl Fn(&Names) -> Option<&'static str>,
) -> Result<Architecture, CheckpointError> {
    let found = NAMES.iter().find(|names| name(names) == Some(wanted));
    found.map(|names| names.architecture).ok_or_else(|| CheckpointError::UnknownArchitecture {
        path: path.to_owned(),
        found: wanted.chars().take(80).collect(),
        known: NAMES.iter().filter_map(name).collect::<Vec<_>>().join(", "),
    })
}
