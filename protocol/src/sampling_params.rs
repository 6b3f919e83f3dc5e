//! How the next token is chosen from the logits.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::ids::TokenId;

/// Resolved sampling options of one sequence; the defaults change nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct SamplingParams {
    /// 0 is greedy: the largest logit, ties to the lower id.
    pub temperature: f32,
    /// Keep the k likeliest; 0 keeps all.
    pub top_k: u32,
    /// Keep the likeliest until their mass reaches p; 1 keeps all.
    pub top_p: f32,
    /// Drop what is less likely than this fraction of the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Divides (multiplies, when negative) the logits of tokens seen in prompt or answer; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted once from tokens seen in the answer.
    pub presence_penalty: f32,
    /// Subtracted per occurrence in the answer.
    pub frequency_penalty: f32,
    pub logit_bias: Vec<(TokenId, f32)>,
    /// Report the sampled token's log probability and that many alternatives.
    pub logprobs: Option<u8>,
    /// No stop token is sampled before the answer has this many.
    pub min_tokens: u32,
    /// Token ids that end the answer; empty when the client asked to ignore them.
    pub stop_tokens: Vec<TokenId>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            logprobs: None,
            min_tokens: 0,
            stop_tokens: Vec::new(),
        }
    }
}
