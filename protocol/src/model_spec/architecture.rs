//! The model families that run.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

/// Model families that have a recipe in `engine/src/models`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
    Mistral,
    Phi3,
    Gemma2,
    Gemma3,
    Gemma4,
    Mixtral,
    Qwen3Moe,
    GptOss,
    Glm4Moe,
    DeepseekV3,
    Qwen3Next,
    #[serde(rename = "qwen3_5")]
    Qwen35,
    #[serde(rename = "qwen3_5_moe")]
    Qwen35Moe,
}

impl Architecture {
    pub const ALL: [Self; 16] = [
        Self::Llama,
        Self::Qwen2,
        Self::Qwen3,
        Self::Mistral,
        Self::Phi3,
        Self::Gemma2,
        Self::Gemma3,
        Self::Gemma4,
        Self::Mixtral,
        Self::Qwen3Moe,
        Self::GptOss,
        Self::Glm4Moe,
        Self::DeepseekV3,
        Self::Qwen3Next,
        Self::Qwen35,
        Self::Qwen35Moe,
    ];

    /// For people, and the family's `model_type` in Hugging Face configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Mistral => "mistral",
            Self::Phi3 => "phi3",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
            Self::Gemma4 => "gemma4",
            Self::Mixtral => "mixtral",
            Self::Qwen3Moe => "qwen3_moe",
            Self::GptOss => "gpt_oss",
            Self::Glm4Moe => "glm4_moe",
            Self::DeepseekV3 => "deepseek_v3",
            Self::Qwen3Next => "qwen3_next",
            Self::Qwen35 => "qwen3_5",
            Self::Qwen35Moe => "qwen3_5_moe",
        }
    }

    /// Gated delta net layers beside gated attention.
    pub fn is_hybrid(self) -> bool {
        matches!(self, Self::Qwen3Next | Self::Qwen35 | Self::Qwen35Moe)
    }

    /// Attention and feed-forward are normalised again before they are added to the residual.
    pub fn has_post_norms(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3 | Self::Gemma4)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_what_is_written() {
        for architecture in Architecture::ALL {
            let written = serde_json::to_value(architecture).expect("it serialises");
            assert_eq!(written, architecture.name());
        }
    }
}
