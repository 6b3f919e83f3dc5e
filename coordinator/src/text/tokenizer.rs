//! Text to ids by a `tokenizer.json`, or by the vocabulary that a GGUF file carries.

use checkpoint::{GgufVocabulary, TextAssets, TokenKind, Vocabulary};
use protocol::ids::TokenId;
use tokenizers::{
    AddedToken, DecoderWrapper, Model, NormalizerWrapper, PostProcessorWrapper,
    PreTokenizerWrapper, TokenizerImpl,
};

use super::byte_level_bpe;
use super::error::TextError;
use super::guard::guarded;
use super::score_merges::ScoreMerges;
use super::spaced_bpe;

type ScoreTokenizer = TokenizerImpl<
    ScoreMerges,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

pub(super) struct Tokenizer {
    encoder: Encoder,
    /// BOS that a GGUF file asks for; a `tokenizer.json` adds its own.
    gguf_bos: Option<TokenId>,
}

enum Encoder {
    Library(Box<tokenizers::Tokenizer>),
    ScoreMerges(Box<ScoreTokenizer>),
}

impl Tokenizer {
    pub(super) fn new(assets: &TextAssets) -> Result<Self, TextError> {
        match &assets.vocabulary {
            Vocabulary::TokenizerJson(json) => {
                let encoder = Encoder::Library(Box::new(from_json(json)?));
                Ok(Self { encoder, gguf_bos: None })
            }
            Vocabulary::Gguf(vocabulary) => {
                let encoder = from_gguf(vocabulary)?;
                Ok(Self { encoder, gguf_bos: assets.bos.filter(|_| assets.add_bos) })
            }
        }
    }

    /// The ids of `text`, special tokens in it included.
    pub(super) fn encode(&self, text: &str, add_special: bool) -> Result<Vec<TokenId>, TextError> {
        let encoding = guarded(|| match &self.encoder {
            Encoder::Library(library) => library.encode_fast(text, add_special),
            Encoder::ScoreMerges(merges) => merges.encode_fast(text, add_special),
        });
        let encoding = encoding.map_err(|reason| TextError::NotEncodable { reason })?;
        let bos = self.gguf_bos.filter(|_| add_special);
        Ok(bos.into_iter().chain(encoding.get_ids().iter().map(|id| TokenId(*id))).collect())
    }

    pub(super) fn adds_bos_to_chats(&self) -> bool {
        self.gguf_bos.is_some()
    }

    pub(super) fn token_to_id(&self, token: &str) -> Option<TokenId> {
        let id = match &self.encoder {
            Encoder::Library(library) => library.token_to_id(token),
            Encoder::ScoreMerges(merges) => merges.token_to_id(token),
        };
        id.map(TokenId)
    }

    /// The library's own tokenizer, where it came from a `tokenizer.json`.
    pub(super) fn library(&self) -> Option<&tokenizers::Tokenizer> {
        match &self.encoder {
            Encoder::Library(library) => Some(library),
            Encoder::ScoreMerges(_) => None,
        }
    }
}

fn from_json(json: &[u8]) -> Result<tokenizers::Tokenizer, TextError> {
    let tokenizer = guarded(|| {
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(json)?;
        // Settings for training batches; a prompt is never cut or padded silently.
        tokenizer.with_truncation(None)?;
        tokenizer.with_padding(None);
        Ok(tokenizer)
    });
    tokenizer.map_err(|reason| TextError::BadTokenizer { reason })
}

fn from_gguf(vocabulary: &GgufVocabulary) -> Result<Encoder, TextError> {
    match vocabulary.model.as_str() {
        "gpt2" => {
            let mut tokenizer = byte_level_bpe::build(vocabulary)?;
            add_whole_tokens(&mut tokenizer, vocabulary)?;
            Ok(Encoder::Library(Box::new(tokenizer)))
        }
        "llama" => {
            let mut tokenizer = ScoreTokenizer::new(ScoreMerges::new(vocabulary)?);
            add_whole_tokens(&mut tokenizer, vocabulary)?;
            Ok(Encoder::ScoreMerges(Box::new(tokenizer)))
        }
        "gemma4" => {
            let mut tokenizer = spaced_bpe::build(vocabulary)?;
            add_whole_tokens(&mut tokenizer, vocabulary)?;
            Ok(Encoder::Library(Box::new(tokenizer)))
        }
        other => Err(TextError::UnknownTokenizer {
            found: other.chars().take(80).collect(),
            supported: "gpt2 (byte-level BPE), llama (SentencePiece), gemma4 (BPE over characters)"
                .to_owned(),
        }),
    }
}

/// Tokens that are found whole in a text, before anything is split or merged.
fn add_whole_tokens<M: Model>(
    tokenizer: &mut TokenizerImpl<
        M,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >,
    vocabulary: &GgufVocabulary,
) -> Result<(), TextError> {
    let whole = vocabulary.tokens.iter().zip(&vocabulary.kinds).filter_map(|(text, kind)| {
        let special = match kind {
            TokenKind::Control | TokenKind::Unknown => true,
            TokenKind::UserDefined => false,
            TokenKind::Normal | TokenKind::Unused | TokenKind::Byte => return None,
        };
        Some(AddedToken::from(text.as_str(), special).normalized(false))
    });
    let added = tokenizer.add_tokens(whole);
    added.map_err(|e| TextError::BadTokenizer { reason: e.to_string() })?;
    Ok(())
}
