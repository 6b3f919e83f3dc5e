//! What the gateway asks of a model's text side: tokenizer, chat template, detokenizer.

use protocol::ids::TokenId;
use serde_json::{Map, Value};

use crate::text::{ChatOptions, Detokenizer, Text, TextError};

/// Tokenizer and chat template of one model; implemented by `text::Text`.
pub trait ModelText: Send + Sync {
    /// Ids of plain text; with `special`, also what the tokenizer puts around every input.
    fn encode(&self, text: &str, special: bool) -> Result<Vec<TokenId>, TextRefused>;

    /// Ids of a conversation, rendered by the chat template.
    fn encode_chat(&self, chat: &Chat) -> Result<Vec<TokenId>, TextRefused>;

    /// Turns ids into text piece by piece; never half a character.
    fn detokenizer(&self, how: Detokenizing) -> Box<dyn Detokenize>;

    /// Ids that end an answer.
    fn stop_tokens(&self) -> &[TokenId];

    /// Bytes that a token stands for on its own.
    fn token_bytes(&self, token: TokenId) -> Vec<u8>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detokenizing {
    /// Control tokens show nothing.
    pub skip_special: bool,
    /// The ids go on with a text instead of starting one.
    pub continuing: bool,
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
    pub variables: Map<String, Value>,
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

impl ModelText for Text {
    fn encode(&self, text: &str, special: bool) -> Result<Vec<TokenId>, TextRefused> {
        Ok(Self::encode(self, text, special)?)
    }

    fn encode_chat(&self, chat: &Chat) -> Result<Vec<TokenId>, TextRefused> {
        let messages: Vec<Value> = chat.messages.iter().map(Message::value).collect();
        let options = ChatOptions {
            add_generation_prompt: chat.add_generation_prompt,
            variables: chat.variables.clone(),
            ..ChatOptions::default()
        };
        Ok(Self::encode_chat(self, &messages, &options)?)
    }

    fn detokenizer(&self, how: Detokenizing) -> Box<dyn Detokenize> {
        let detokenizer = Self::detokenizer(self, how.skip_special);
        Box::new(if how.continuing { detokenizer.continuing() } else { detokenizer })
    }

    fn stop_tokens(&self) -> &[TokenId] {
        self.eos_ids()
    }

    fn token_bytes(&self, token: TokenId) -> Vec<u8> {
        Self::token_bytes(self, token).to_vec()
    }
}

impl Detokenize for Detokenizer {
    fn push(&mut self, token: TokenId) -> String {
        Self::push(self, token)
    }

    fn finish(&mut self) -> String {
        Self::finish(self)
    }
}

impl Message {
    /// As chat templates expect it.
    fn value(&self) -> Value {
        let mut map = Map::new();
        map.insert("role".into(), self.role.clone().into());
        map.insert("content".into(), self.content.clone().into());
        if let Some(name) = &self.name {
            map.insert("name".into(), name.clone().into());
        }
        Value::Object(map)
    }
}

impl From<TextError> for TextRefused {
    fn from(error: TextError) -> Self {
        Self(error.to_string())
    }
}
