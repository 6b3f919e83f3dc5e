//! The `tokenizer.*` fields of a GGUF file.

use protocol::ids::TokenId;

use super::metadata::Metadata;
use super::value::Value;
use crate::error::CheckpointError;
use crate::text_assets::{GgufVocabulary, NamedToken, TextAssets, TokenKind, Vocabulary};

pub(super) struct Text {
    pub(super) assets: TextAssets,
    /// Entries of the vocabulary.
    pub(super) tokens: usize,
}

pub(super) fn read(fields: &Metadata) -> Result<Text, CheckpointError> {
    const MODEL: &str = "tokenizer.ggml.model";
    let model = fields.string(MODEL)?.ok_or_else(|| fields.missing(MODEL))?.to_owned();
    let tokens = strings(fields, "tokens")?.ok_or_else(|| fields.missing(&field("tokens")))?;
    let kinds = kinds(fields, tokens.len())?;
    let scores = scores(fields, tokens.len())?;
    let ids = SpecialIds::read(fields, tokens.len())?;
    let named_tokens = ids.named(&tokens);
    let eos = ids.end_of_answer(&tokens);
    let add_bos = fields.bool(&field("add_bos_token"))?;
    let vocabulary = GgufVocabulary {
        pre: fields.string(&field("pre"))?.map(str::to_owned),
        scores,
        kinds,
        merges: strings(fields, "merges")?.unwrap_or_default(),
        add_space_prefix: fields.bool(&field("add_space_prefix"))?,
        unknown: ids.unknown,
        tokens,
        model,
    };
    let (chat_template, tool_template) = templates(fields)?;
    let assets = TextAssets {
        chat_template,
        tool_template,
        bos: ids.bos,
        eot: ids.eot,
        eos,
        add_bos: ids.bos.is_some() && add_bos.unwrap_or_else(|| adds_bos(&vocabulary)),
        named_tokens,
        vocabulary: Vocabulary::Gguf(vocabulary),
    };
    let tokens = match &assets.vocabulary {
        Vocabulary::Gguf(vocabulary) => vocabulary.tokens.len(),
        Vocabulary::TokenizerJson(_) => 0,
    };
    Ok(Text { assets, tokens })
}

fn field(name: &str) -> String {
    format!("tokenizer.ggml.{name}")
}

/// What llama.cpp assumes where the file does not say whether a prompt starts with BOS.
fn adds_bos(vocabulary: &GgufVocabulary) -> bool {
    const BPE_WITH_BOS: [&str; 8] =
        ["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "lfm2", "tekken"];
    match (vocabulary.model.as_str(), vocabulary.pre.as_deref()) {
        ("llama" | "gemma4", _) => true,
        ("gpt2", Some(pre)) => BPE_WITH_BOS.contains(&pre),
        _ => false,
    }
}

fn strings(fields: &Metadata, name: &str) -> Result<Option<Vec<String>>, CheckpointError> {
    let field = field(name);
    match fields.get(&field) {
        None => Ok(None),
        Some(Value::Strings(all)) => Ok(Some(all.clone())),
        Some(other) => Err(fields.bad(&field, other, "an array of strings")),
    }
}

fn scores(fields: &Metadata, tokens: usize) -> Result<Vec<f32>, CheckpointError> {
    let field = field("scores");
    match fields.get(&field) {
        None => Ok(Vec::new()),
        Some(Value::Floats(all)) if all.len() == tokens => Ok(all.clone()),
        Some(other) => Err(fields.bad(&field, other, format!("{tokens} numbers"))),
    }
}

fn kinds(fields: &Metadata, tokens: usize) -> Result<Vec<TokenKind>, CheckpointError> {
    let field = field("token_type");
    let numbers = match fields.get(&field) {
        None => return Ok(Vec::new()),
        Some(Value::Integers(all)) if all.len() == tokens => all,
        Some(other) => return Err(fields.bad(&field, other, format!("{tokens} integers"))),
    };
    let kind = |number: &i32| {
        Ok(match number {
            0 | 1 => TokenKind::Normal,
            2 => TokenKind::Unknown,
            3 => TokenKind::Control,
            4 => TokenKind::UserDefined,
            5 => TokenKind::Unused,
            6 => TokenKind::Byte,
            other => return Err(fields.bad(&field, other, "token types from 1 to 6")),
        })
    };
    numbers.iter().map(kind).collect()
}

/// `tokenizer.chat_template`, and the one that is named for tools.
fn templates(fields: &Metadata) -> Result<(Option<String>, Option<String>), CheckpointError> {
    let plain = fields.string("tokenizer.chat_template")?;
    let tools = fields.string("tokenizer.chat_template.tool_use")?;
    Ok((plain.map(str::to_owned), tools.map(str::to_owned)))
}

struct SpecialIds {
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    eot: Option<TokenId>,
    eom: Option<TokenId>,
    unknown: Option<TokenId>,
    padding: Option<TokenId>,
}

impl SpecialIds {
    fn read(fields: &Metadata, tokens: usize) -> Result<Self, CheckpointError> {
        let id = |name: &str| {
            let field = field(name);
            let id = fields.u32(&field)?;
            match id.filter(|id| *id as usize >= tokens) {
                Some(id) => Err(fields.bad(&field, id, format!("an id below {tokens}"))),
                None => Ok(id.map(TokenId)),
            }
        };
        Ok(Self {
            bos: id("bos_token_id")?,
            eos: id("eos_token_id")?,
            eot: id("eot_token_id")?,
            eom: id("eom_token_id")?,
            unknown: id("unknown_token_id")?,
            padding: id("padding_token_id")?,
        })
    }

    fn named(&self, tokens: &[String]) -> Vec<NamedToken> {
        let pairs = [
            ("bos_token", self.bos),
            ("eos_token", self.eos),
            ("unk_token", self.unknown),
            ("pad_token", self.padding),
        ];
        let named = pairs.into_iter().filter_map(|(name, id)| {
            let text = tokens.get(id?.0 as usize)?.clone();
            Some(NamedToken { name: name.to_owned(), text })
        });
        named.collect()
    }

    /// The ids the file names, and the tokens that are known to end a turn: many files name only
    /// one of the two that their model uses, and not all mark them as control tokens.
    fn end_of_answer(&self, tokens: &[String]) -> Vec<TokenId> {
        const ENDS: [&str; 11] = [
            "<|eot_id|>",
            "<|im_end|>",
            "<|end|>",
            "<|return|>",
            "<|call|>",
            "<end_of_turn>",
            "<turn|>",
            "<|endoftext|>",
            "<|end_of_text|>",
            "<EOT>",
            "<end_of_utterance>",
        ];
        let mut ids: Vec<TokenId> = [self.eos, self.eot, self.eom].into_iter().flatten().collect();
        for (index, token) in tokens.iter().enumerate() {
            if ENDS.contains(&token.as_str()) {
                ids.push(TokenId(index as u32));
            }
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}
