//! `Text` as the gateway sees it.

use protocol::ids::TokenId;
use serde_json::{Value, json};

use super::{ChatOptions, Detokenizer, Text, TextError};
use crate::gateway::model_text::{Chat, Detokenize, Message, ModelText, TextRefused};

impl ModelText for Text {
    fn encode(&self, text: &str, special: bool) -> Result<Vec<TokenId>, TextRefused> {
        Ok(Self::encode(self, text, special)?)
    }

    fn encode_chat(&self, chat: &Chat) -> Result<Vec<TokenId>, TextRefused> {
        let messages: Vec<Value> = chat.messages.iter().map(message).collect();
        let options = ChatOptions {
            add_generation_prompt: chat.add_generation_prompt,
            variables: chat.variables.clone(),
            ..ChatOptions::default()
        };
        Ok(Self::encode_chat(self, &messages, &options)?)
    }

    fn detokenizer(&self, skip_special: bool) -> Box<dyn Detokenize> {
        Box::new(Self::detokenizer(self, skip_special))
    }

    fn stop_tokens(&self) -> Vec<TokenId> {
        self.eos_ids().to_vec()
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

impl From<TextError> for TextRefused {
    fn from(error: TextError) -> Self {
        Self(error.to_string())
    }
}

/// A message as templates know it; a name that is not given is absent, not null.
fn message(message: &Message) -> Value {
    let mut value = json!({"role": message.role, "content": message.content});
    if let Some(name) = &message.name {
        value["name"] = json!(name);
    }
    value
}
