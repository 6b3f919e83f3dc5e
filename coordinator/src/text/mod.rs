//! Text to token ids and back: one `Text` per model, shared by all requests.

use std::sync::Arc;

use checkpoint::TextAssets;
use protocol::ids::TokenId;
use serde_json::Value;

mod byte_level_bpe;
pub mod chat_template;
pub mod detokenizer;
pub mod error;
mod guard;
mod pieces;
mod score_merges;
mod spaced_bpe;
mod split_patterns;
pub mod stop_strings;
#[cfg(test)]
mod tests;
mod tokenizer;

pub use chat_template::ChatOptions;
pub use detokenizer::Detokenizer;
pub use error::TextError;
pub use stop_strings::{StopScan, StopStrings};

use chat_template::ChatTemplates;
use pieces::Pieces;
use tokenizer::Tokenizer;

/// The text side of one model.
pub struct Text {
    tokenizer: Tokenizer,
    pieces: Arc<Pieces>,
    templates: ChatTemplates,
    bos: Option<TokenId>,
    eos: Vec<TokenId>,
}

impl Text {
    /// Builds tokenizer and templates; takes up to a second for the largest vocabularies.
    ///
    /// A chat template that does not compile is an error only where it is used, so that a model
    /// with one still completes plain text.
    pub fn new(assets: &TextAssets) -> Result<Self, TextError> {
        let tokenizer = Tokenizer::new(assets)?;
        let pieces = Pieces::new(assets, &tokenizer)?;
        let named = |name: &str| assets.named_tokens.iter().find(|token| token.name == name);
        let id = |name: &str| named(name).and_then(|token| tokenizer.token_to_id(&token.text));
        let mut eos = assets.eos.clone();
        eos.extend(id("eos_token"));
        eos.retain(|id| pieces.contains(*id));
        eos.sort_unstable();
        eos.dedup();
        Ok(Self {
            bos: id("bos_token").or(assets.bos),
            eos,
            pieces: Arc::new(pieces),
            templates: ChatTemplates::new(assets),
            tokenizer,
        })
    }

    /// The ids of `text`; special tokens written in it count as such.
    ///
    /// With `add_special` the result starts with BOS where the model wants one, and never with
    /// two of them.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<TokenId>, TextError> {
        let mut ids = self.tokenizer.encode(text, add_special)?;
        if ids.len() >= 2 && self.bos.is_some() && ids[0] == ids[1] && Some(ids[0]) == self.bos {
            ids.remove(0);
        }
        Ok(ids)
    }

    /// The prompt of a conversation, as the model's own template writes it.
    pub fn apply_chat_template(
        &self,
        messages: &[Value],
        options: &ChatOptions,
    ) -> Result<String, TextError> {
        self.templates.render(messages, options)
    }

    /// The prompt of a conversation as token ids.
    ///
    /// A template writes its own special tokens, BOS among them. Only for a GGUF file whose
    /// metadata asks for BOS, and whose template leaves it out, it is added here: its template
    /// was written for a program that does so.
    pub fn encode_chat(
        &self,
        messages: &[Value],
        options: &ChatOptions,
    ) -> Result<Vec<TokenId>, TextError> {
        let prompt = self.apply_chat_template(messages, options)?;
        self.encode(&prompt, self.tokenizer.adds_bos_to_chats())
    }

    /// A stream that turns ids into text, one per answer. With `skip_special`, control tokens
    /// show nothing.
    pub fn detokenizer(&self, skip_special: bool) -> Detokenizer {
        Detokenizer::new(Arc::clone(&self.pieces), skip_special)
    }

    /// The text of whole ids, as a fresh detokenizer gives it.
    pub fn decode(&self, ids: &[TokenId], skip_special: bool) -> String {
        let mut detokenizer = self.detokenizer(skip_special);
        let mut text: String = ids.iter().map(|id| detokenizer.push(*id)).collect();
        text.push_str(&detokenizer.finish());
        text
    }

    /// Every id that ends an answer, ascending.
    pub fn eos_ids(&self) -> &[TokenId] {
        &self.eos
    }

    pub fn bos_id(&self) -> Option<TokenId> {
        self.bos
    }

    /// The bytes that an id stands for; several ids may share the bytes of one character.
    pub fn token_bytes(&self, id: TokenId) -> &[u8] {
        self.pieces.bytes(id)
    }

    /// The same as text; what is no whole character shows as U+FFFD.
    pub fn token_text(&self, id: TokenId) -> String {
        String::from_utf8_lossy(self.token_bytes(id)).into_owned()
    }

    /// Entries of the vocabulary.
    pub fn token_count(&self) -> usize {
        self.pieces.len()
    }

    pub fn has_chat_template(&self) -> bool {
        self.templates.is_present()
    }
}
