//! BPE over the characters of a text whose spaces are written as U+2581 (Gemma 4's GGUF files).

use checkpoint::GgufVocabulary;
use tokenizers::Tokenizer;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::replace::Replace;

use super::byte_level_bpe::merges;
use super::error::TextError;

/// What no merge reaches falls back to its bytes, `<0x0A>`.
pub(super) fn build(vocabulary: &GgufVocabulary) -> Result<Tokenizer, TextError> {
    let bad = |e: tokenizers::Error| TextError::BadTokenizer { reason: e.to_string() };
    let ids: Vocab = vocabulary.tokens.iter().cloned().zip(0..).collect();
    let merges = merges(vocabulary, &ids);
    let mut model = BPE::builder().vocab_and_merges(ids, merges).byte_fallback(true).fuse_unk(true);
    let unknown = vocabulary.unknown.and_then(|id| vocabulary.tokens.get(id.0 as usize));
    if let Some(token) = unknown {
        model = model.unk_token(token.clone());
    }
    let mut tokenizer = Tokenizer::new(model.build().map_err(bad)?);
    let spaces = Replace::new(" ", "\u{2581}").map_err(bad)?;
    tokenizer.with_normalizer(Some(spaces)).map_err(bad)?;
    Ok(tokenizer)
}
