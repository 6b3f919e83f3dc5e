//! What the gateway asks of a model's text side: tokenizer, chat template, detokenizer.

use protocol::ids::TokenId;

/// Tokenizer and chat template of one model; implemented by `text::Text`.
pub trait ModelText: Send + Sync {
    /// Ids of plain text; with `special`, also what the tokenizer puts around every input.
    fn encode(&self, text: &str, special: bool) -> Result<Vec<TokenId>, TextRefused>;

    /// Ids of a conversation, rendered by the chat template.
    fn encode_chat(&self, chat: &Chat) -> Result<Vec<TokenId>, TextRefused>;

    /// Turns ids into text piece by piece; never half a character.
    fn detokenizer(&self, skip_special: bool) -> Box<dyn Detokenize>;

    /// Ids that end an answer.
    fn stop_tokens(&self) -> Vec<TokenId>;

    /// Bytes that a token stands for on its own.
    fn token_bytes(&self, token: TokenId) -> Vec<u8>;
}

pub trait Detokenize: Send {
    /// The text that is complete with this token; may be empty.
    fn push(&mut self, token: TokenId) -> String;

    /// What is left at the end.
    fn finish(&mut self) -> String;
}

/// A conversation as the chat template gets it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chat {
    pub messages: Vec<Message>,
    pub add_generation_prompt: bool,
    /// Further variables of the template (`enable_thinking`, `reasoning_effort`, ...).
    pub variables: serde_json::Map<String, serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub role: String,
    pub content: String,
    pub name: Option<String>,
}

/// The client's text cannot be taken, and why (e.g. the template raised an exception).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextRefused(pub String);
