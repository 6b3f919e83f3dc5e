//! Everything that turns text into token ids and back: vocabulary, template, special tokens.

use protocol::ProtocolError;
use protocol::encoding;
use protocol::ids::{Digest, TokenId};
use wincode::{SchemaRead, SchemaWrite};

/// The text side of a model, kept and sent as one blob that its digest names.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct TextAssets {
    pub vocabulary: Vocabulary,
    /// Jinja source of the model's chat template.
    pub chat_template: Option<String>,
    /// A second template for conversations with tools, where the model has one.
    pub tool_template: Option<String>,
    pub bos: Option<TokenId>,
    /// Every id that ends an answer.
    pub eos: Vec<TokenId>,
    /// Ends a turn, where that is not what ends a text (`<|eot_id|>`); also in `eos`.
    pub eot: Option<TokenId>,
    /// A prompt starts with `bos` (a `tokenizer.json` says this by its own post-processor).
    pub add_bos: bool,
    /// The names that a template may use, e.g. `bos_token` for `<s>`.
    pub named_tokens: Vec<NamedToken>,
}

/// A special token under the name that templates know it by.
#[derive(Clone, Debug, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct NamedToken {
    pub name: String,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub enum Vocabulary {
    /// The bytes of a `tokenizer.json`.
    TokenizerJson(Vec<u8>),
    Gguf(GgufVocabulary),
}

/// The `tokenizer.ggml.*` fields of a GGUF file.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct GgufVocabulary {
    /// `gpt2` (byte-level BPE), `llama` (SentencePiece) and others.
    pub model: String,
    /// The pre-tokenizer kind, e.g. `llama-bpe`.
    pub pre: Option<String>,
    pub tokens: Vec<String>,
    /// One per token, or empty.
    pub scores: Vec<f32>,
    /// One per token, or empty.
    pub kinds: Vec<TokenKind>,
    /// `left right`, best first; byte-level BPE only.
    pub merges: Vec<String>,
    pub add_space_prefix: Option<bool>,
    pub unknown: Option<TokenId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum TokenKind {
    Normal,
    Unknown,
    /// Special, never shown: `<s>`, `<|im_end|>`.
    Control,
    /// Matched whole in text, and shown.
    UserDefined,
    Unused,
    /// `<0x0A>`: one byte.
    Byte,
}

impl TextAssets {
    pub fn encode(&self) -> Result<Vec<u8>, ProtocolError> {
        encoding::encode("text assets", self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, ProtocolError> {
        encoding::decode("text assets", bytes)
    }

    /// The digest of the encoded form, which `Manifest::text` holds.
    pub fn digest(&self) -> Result<Digest, ProtocolError> {
        Ok(Digest::of(&self.encode()?))
    }
}
