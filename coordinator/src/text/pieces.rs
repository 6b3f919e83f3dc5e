//! What each id of a vocabulary stands for, as bytes, so that decoding is a table look-up.

use checkpoint::byte_level;
use checkpoint::{GgufVocabulary, TextAssets, TokenKind, Vocabulary};
use protocol::ids::TokenId;
use serde_json::Value;

use super::error::TextError;
use super::score_merges;
use super::tokenizer::Tokenizer;

/// SentencePiece writes a space as this sign.
const SPACE: char = '\u{2581}';
/// Ids beyond this are no vocabulary but a broken file.
const IDS_MAX: usize = 1 << 22;

pub(super) struct Pieces {
    pieces: Vec<Piece>,
    /// A text starts with a space that was never in it.
    pub(super) strips_first_space: bool,
}

#[derive(Clone, Default)]
struct Piece {
    bytes: Box<[u8]>,
    special: bool,
}

/// How a vocabulary writes bytes in its entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    ByteLevel,
    SentencePiece,
    Plain,
}

impl Pieces {
    pub(super) fn new(assets: &TextAssets, tokenizer: &Tokenizer) -> Result<Self, TextError> {
        match &assets.vocabulary {
            Vocabulary::Gguf(vocabulary) => Ok(Self::from_gguf(vocabulary)),
            Vocabulary::TokenizerJson(json) => Self::from_json(json, tokenizer),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn contains(&self, id: TokenId) -> bool {
        (id.0 as usize) < self.pieces.len()
    }

    /// Empty for an id outside of the vocabulary (a padded row of the output matrix).
    pub(super) fn bytes(&self, id: TokenId) -> &[u8] {
        self.pieces.get(id.0 as usize).map_or(&[], |piece| &piece.bytes)
    }

    pub(in crate::text) fn is_special(&self, id: TokenId) -> bool {
        self.pieces.get(id.0 as usize).is_some_and(|piece| piece.special)
    }

    fn from_gguf(vocabulary: &GgufVocabulary) -> Self {
        let sentence_piece = matches!(vocabulary.model.as_str(), "llama" | "gemma4");
        let spelling = if sentence_piece { Spelling::SentencePiece } else { Spelling::ByteLevel };
        let piece = |(index, text): (usize, &String)| match vocabulary
            .kinds
            .get(index)
            .copied()
            .unwrap_or(TokenKind::Normal)
        {
            TokenKind::Control | TokenKind::Unknown => Piece::whole(text, true),
            TokenKind::UserDefined if !sentence_piece => Piece::whole(text, false),
            _ => Piece::spelled(text, spelling),
        };
        Self {
            pieces: vocabulary.tokens.iter().enumerate().map(piece).collect(),
            strips_first_space: sentence_piece
                && vocabulary.add_space_prefix.unwrap_or(vocabulary.model == "llama"),
        }
    }

    fn from_json(json: &[u8], tokenizer: &Tokenizer) -> Result<Self, TextError> {
        let bad = |reason: &str| TextError::BadTokenizer { reason: reason.to_owned() };
        let library = tokenizer.library().ok_or_else(|| bad("it is no tokenizer.json"))?;
        let decoder = Decoder::of(json)?;
        let added = library.get_added_tokens_decoder();
        let vocabulary = library.get_vocab(true);
        let length = vocabulary.values().max().map_or(0, |id| *id as usize + 1);
        if length > IDS_MAX {
            return Err(bad(&format!("it has an id of {}, the limit is {IDS_MAX}", length - 1)));
        }
        let mut pieces = vec![Piece::default(); length];
        for (text, id) in vocabulary {
            pieces[id as usize] = match added.get(&id) {
                Some(token) => Piece::whole(&token.content, token.special),
                None => Piece::spelled(&text, decoder.spelling),
            };
        }
        Ok(Self { pieces, strips_first_space: decoder.strips_first_space })
    }
}

impl Piece {
    /// A token that stands for its own text.
    fn whole(text: &str, special: bool) -> Self {
        Self { bytes: text.as_bytes().into(), special }
    }

    fn spelled(text: &str, spelling: Spelling) -> Self {
        let bytes: Vec<u8> = match spelling {
            Spelling::Plain => text.as_bytes().to_vec(),
            // An entry with a sign outside of the alphabet stands for itself.
            Spelling::ByteLevel => {
                let bytes: Option<_> = text.chars().map(byte_level::byte_of).collect();
                bytes.unwrap_or_else(|| text.as_bytes().to_vec())
            }
            Spelling::SentencePiece => match score_merges::byte_of(text) {
                Some(byte) => vec![byte],
                None => text.replace(SPACE, " ").into_bytes(),
            },
        };
        Self { bytes: bytes.into(), special: false }
    }
}

/// What the `decoder` of a `tokenizer.json` does, as far as tables can say it.
struct Decoder {
    spelling: Spelling,
    strips_first_space: bool,
}

impl Decoder {
    fn of(json: &[u8]) -> Result<Self, TextError> {
        #[derive(serde::Deserialize)]
        struct File {
            decoder: Option<Value>,
        }
        let bad = |reason: String| TextError::BadTokenizer { reason };
        let file: File = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        let mut decoder = Self { spelling: Spelling::Plain, strips_first_space: false };
        let Some(root) = file.decoder else { return Ok(decoder) };
        let steps = match root.get("decoders").and_then(Value::as_array) {
            Some(steps) => steps.clone(),
            None => vec![root],
        };
        for step in &steps {
            decoder.read_step(step)?;
        }
        Ok(decoder)
    }

    fn read_step(&mut self, step: &Value) -> Result<(), TextError> {
        match step.get("type").and_then(Value::as_str).unwrap_or_default() {
            "ByteLevel" => self.spelling = Spelling::ByteLevel,
            "ByteFallback" | "Replace" => self.spelling = Spelling::SentencePiece,
            "Metaspace" => {
                self.spelling = Spelling::SentencePiece;
                let scheme = step.get("prepend_scheme").and_then(Value::as_str);
                self.strips_first_space = scheme != Some("never");
            }
            "Strip" => {
                let start = step.get("start").and_then(Value::as_u64);
                self.strips_first_space = start.is_some_and(|count| count > 0);
            }
            "Fuse" => {}
            other => {
                return Err(TextError::UnknownTokenizer {
                    found: format!("{} (decoder)", other.chars().take(80).collect::<String>()),
                    supported: "ByteLevel, ByteFallback, Metaspace".to_owned(),
                });
            }
        }
        Ok(())
    }
}
