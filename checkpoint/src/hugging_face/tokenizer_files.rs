//! The text side of a folder: `tokenizer.json`, its configuration, template and end tokens.

use std::path::Path;

use protocol::ids::TokenId;
use serde_json::{Map, Value};

use super::json_file;
use crate::error::CheckpointError;
use crate::text_assets::{NamedToken, TextAssets, Vocabulary};

/// The largest published `tokenizer.json` takes 33 MB.
const TOKENIZER_BYTES_MAX: u64 = 48 << 20;
const TEMPLATE_BYTES_MAX: u64 = 4 << 20;

pub(super) fn read(folder: &Path) -> Result<TextAssets, CheckpointError> {
    let tokenizer_path = folder.join("tokenizer.json");
    let tokenizer = json_file::read_bytes(&tokenizer_path, TOKENIZER_BYTES_MAX)?;
    let config = json_file::read_optional(&folder.join("tokenizer_config.json"))?;
    let generation = json_file::read_optional(&folder.join("generation_config.json"))?;
    let model = json_file::read_optional(&folder.join("config.json"))?;
    let (chat_template, tool_template) = templates(folder, &config)?;
    let mut eos = ids(generation.get("eos_token_id"));
    eos.extend(ids(model.get("eos_token_id")));
    eos.sort_unstable();
    eos.dedup();
    let bos = ids(model.get("bos_token_id")).first().copied();
    Ok(TextAssets {
        vocabulary: Vocabulary::TokenizerJson(tokenizer),
        chat_template,
        tool_template,
        bos,
        eos,
        eot: None,
        add_bos: config.get("add_bos_token").and_then(Value::as_bool).unwrap_or(false),
        named_tokens: named_tokens(&config),
    })
}

/// The template and the one for tools; a file beside the configuration wins over it.
fn templates(
    folder: &Path,
    config: &Map<String, Value>,
) -> Result<(Option<String>, Option<String>), CheckpointError> {
    let path = folder.join("chat_template.jinja");
    if path.is_file() {
        let bytes = json_file::read_bytes(&path, TEMPLATE_BYTES_MAX)?;
        let source = String::from_utf8(bytes).map_err(|_| CheckpointError::Malformed {
            path,
            what: "the chat template".to_owned(),
            reason: "not UTF-8".to_owned(),
        })?;
        return Ok((Some(source), None));
    }
    let separate = json_file::read_optional(&folder.join("chat_template.json"))?;
    let template = separate.get("chat_template").or_else(|| config.get("chat_template"));
    Ok(match template {
        Some(Value::String(source)) => (Some(source.clone()), None),
        Some(Value::Array(list)) => {
            (named_template(list, "default"), named_template(list, "tool_use"))
        }
        _ => (None, None),
    })
}

fn named_template(list: &[Value], wanted: &str) -> Option<String> {
    let entry = list.iter().find(|e| e.get("name").and_then(Value::as_str) == Some(wanted))?;
    entry.get("template")?.as_str().map(str::to_owned)
}

/// One id or a list of them.
fn ids(value: Option<&Value>) -> Vec<TokenId> {
    let id = |value: &Value| Some(TokenId(u32::try_from(value.as_u64()?).ok()?));
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(id).collect(),
        Some(single) => id(single).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Every `*_token` of the configuration: text, or an object that holds the text.
fn named_tokens(config: &Map<String, Value>) -> Vec<NamedToken> {
    let named = config.iter().filter(|(name, _)| name.ends_with("_token"));
    let tokens = named.filter_map(|(name, value)| {
        let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
        Some(NamedToken { name: name.clone(), text: text.to_owned() })
    });
    tokens.collect()
}
