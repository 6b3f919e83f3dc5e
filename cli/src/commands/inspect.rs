//! `trireme model inspect`: what a model on this disk is, and what of it would not work.

use std::collections::BTreeMap;
use std::path::Path;

use checkpoint::{Checkpoint, Vocabulary};
use coordinator::text::Text;
use engine::StageConfig;
use protocol::model_spec::{KvType, ModelSpec};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{CliError, Exit};
use crate::output::Output;

/// What a model on a disk is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inspection {
    name: String,
    files: usize,
    weight_bytes: u64,
    /// Bytes by stored type.
    weight_types: BTreeMap<&'static str, u64>,
    layer_bytes_min: u64,
    layer_bytes_max: u64,
    kv_bytes_per_token_f16: u64,
    /// Layers whose state does not grow with the context, and its size.
    recurrent_layers: usize,
    recurrent_bytes_per_sequence: u64,
    tokenizer: String,
    chat_template: &'static str,
    spec: ModelSpec,
    /// Empty when all of it works.
    problems: Vec<String>,
}

pub(crate) fn run(path: &Path, output: &Output) -> Result<(), CliError> {
    let checkpoint = checkpoint::open(path).map_err(|e| {
        let what = format!("{} is not a model that can be served", path.display());
        let next = "name a GGUF file or a Hugging Face directory of a known family";
        CliError::new(Exit::Failed, what, e.to_string(), next)
    })?;
    output.describe("Model", &inspect(&checkpoint))
}

fn inspect(checkpoint: &Checkpoint) -> Inspection {
    let spec = &checkpoint.spec;
    let mut weight_types = BTreeMap::new();
    for tensor in &checkpoint.tensors {
        *weight_types.entry(tensor.weight_type.name()).or_default() += tensor.bytes;
    }
    let layers = || spec.layers.iter().map(|layer| layer.weight_bytes);
    let template = checkpoint.text.chat_template.as_deref();
    Inspection {
        name: checkpoint.name.clone(),
        files: checkpoint.files.len(),
        weight_bytes: checkpoint.tensors.iter().map(|tensor| tensor.bytes).sum(),
        weight_types,
        layer_bytes_min: layers().min().unwrap_or(0),
        layer_bytes_max: layers().max().unwrap_or(0),
        kv_bytes_per_token_f16: spec.kv_bytes_per_token(spec.all_layers(), KvType::F16),
        recurrent_layers: spec.layers.iter().filter(|layer| layer.is_recurrent()).count(),
        recurrent_bytes_per_sequence: spec.slot_bytes(spec.all_layers()),
        tokenizer: match &checkpoint.text.vocabulary {
            Vocabulary::TokenizerJson(_) => "tokenizer.json".to_owned(),
            Vocabulary::Gguf(vocabulary) => match &vocabulary.pre {
                Some(pre) => format!("{} ({pre})", vocabulary.model),
                None => vocabulary.model.clone(),
            },
        },
        chat_template: template.map_or("none", template_kind),
        spec: spec.clone(),
        problems: problems(checkpoint),
    }
}

/// By the token that opens a turn.
fn template_kind(template: &str) -> &'static str {
    let kinds = [
        ("<|im_start|>", "ChatML"),
        ("<|start_header_id|>", "Llama 3"),
        ("<|start|>", "Harmony"),
        ("<start_of_turn>", "Gemma"),
        ("<|turn>", "Gemma 4"),
        ("[INST]", "Mistral"),
        ("<|user|>", "Phi or GLM"),
        ("<\u{ff5c}User\u{ff5c}>", "DeepSeek"),
    ];
    let known = kinds.iter().find(|(opening, _)| template.contains(opening));
    known.map_or("its own", |(_, name)| name)
}

fn problems(checkpoint: &Checkpoint) -> Vec<String> {
    let spec = &checkpoint.spec;
    let config = StageConfig::whole_model(spec, spec.context_length, KvType::F16);
    let mut problems = Vec::new();
    if let Err(error) = config.check(spec) {
        problems.push(format!("the layers: {error}"));
    }
    match Text::new(&checkpoint.text) {
        Err(error) => problems.push(format!("the text: {error}")),
        Ok(text) if !text.has_chat_template() => {
            problems.push("no chat template: /v1/completions works, chat does not".to_owned());
        }
        Ok(_) => {}
    }
    problems
}
