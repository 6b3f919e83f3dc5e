//! Byte-level BPE from the vocabulary and merges of a GGUF file.

use checkpoint::GgufVocabulary;
use tokenizers::Tokenizer;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::normalizer::SplitDelimiterBehavior;

use super::error::TextError;
use super::split_patterns::{self, SplitRule};

pub(super) fn build(vocabulary: &GgufVocabulary) -> Result<Tokenizer, TextError> {
    let bad = |e: tokenizers::Error| TextError::BadTokenizer { reason: e.to_string() };
    let rule = split_patterns::of(vocabulary.pre.as_deref().unwrap_or("default"))?;
    let ids: Vocab = vocabulary.tokens.iter().cloned().zip(0..).collect();
    let merges = merges(vocabulary, &ids);
    let model = BPE::builder()
        .vocab_and_merges(ids, merges)
        .ignore_merges(rule.whole_words)
        .build()
        .map_err(bad)?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer(&rule).map_err(bad)?));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    Ok(tokenizer)
}

fn pre_tokenizer(rule: &SplitRule) -> tokenizers::Result<PreTokenizerWrapper> {
    let mut steps = Vec::with_capacity(rule.patterns.len() + 1);
    for pattern in rule.patterns {
        let pattern = SplitPattern::Regex((*pattern).to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
        steps.push(PreTokenizerWrapper::Split(split));
    }
    steps.push(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, false)));
    Ok(PreTokenizerWrapper::Sequence(Sequence::new(steps)))
}

/// The merges whose parts and result are in the vocabulary; others could never be an id.
pub(super) fn merges(vocabulary: &GgufVocabulary, ids: &Vocab) -> Merges {
    let pair = |merge: &String| {
        // A part may itself start with a space in vocabularies that are not byte-level.
        let cut = merge.char_indices().skip(1).find(|(_, sign)| *sign == ' ')?.0;
        let (left, right) = (&merge[..cut], &merge[cut + 1..]);
        let known = ids.contains_key(left)
            && ids.contains_key(right)
            && ids.contains_key(&format!("{left}{right}"));
        known.then(|| (left.to_owned(), right.to_owned()))
    };
    vocabulary.merges.iter().filter_map(pair).collect()
}
