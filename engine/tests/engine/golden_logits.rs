//! Logits of tiny random models agree with those of Hugging Face `transformers`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoint::Manifest;
use engine::{Compute, FileSource, Place, Stage, StageConfig, StageInput};
use protocol::ids::{BlockId, TokenId};
use protocol::model_spec::KvType;
use serde::Deserialize;

use crate::running::{batch, rows_in};

/// `expected.json` of a fixture.
#[derive(Deserialize)]
pub(crate) struct Expected {
    pub(crate) vocabulary: usize,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) prompt: Vec<u32>,
    pub(crate) first_row: usize,
    greedy: Vec<u32>,
    #[serde(default = "usual_context")]
    pub(crate) context: u32,
}

fn usual_context() -> u32 {
    128
}

/// Folders of `fixtures/golden`, and whether the same weights are there in GGUF.
pub(crate) const FIXTURES: [(&str, bool); 21] = [
    ("llama-gqa-rope-scaled", true),
    ("llama-tied", false),
    ("qwen2-tied", true),
    ("qwen2-untied-bf16", false),
    ("qwen3", true),
    ("mistral", false),
    ("ministral3", true),
    ("phi3", true),
    ("gemma2", true),
    ("gemma3", true),
    ("gemma4", true),
    ("gemma4-moe", true),
    ("gemma4-e", true),
    ("mixtral", true),
    ("qwen3-moe", true),
    ("glm4-moe", true),
    ("deepseek-v3", true),
    ("gpt-oss", true),
    ("qwen3-next", true),
    ("qwen3.5", true),
    ("qwen3.5-moe", true),
];

#[test]
fn logits_of_every_family_are_those_of_the_reference() {
    for (name, _) in FIXTURES {
        // Its folder is quantised: see `quantised_folders`.
        if name != "gpt-oss" {
            check(name, name);
        }
    }
}

#[test]
fn the_same_weights_in_gguf_give_the_same_logits() {
    for (name, _) in FIXTURES.iter().filter(|(_, twin)| *twin) {
        // One of them in two files; any of the two will do.
        let part = if *name == "qwen3" { "-00002-of-00002" } else { "" };
        check(&format!("{name}{part}.gguf"), name);
    }
}

fn check(model: &str, expected: &str) {
    check_at(&Place::Cpu(Arc::clone(Compute::of_process())), model, expected);
}

/// As `check`, with layers where `place` says.
pub(crate) fn check_at(place: &Place, model: &str, expected: &str) {
    let (expected_cases, reference) = reference(expected);
    let width = expected_cases.vocabulary;
    for case in &expected_cases.cases {
        check_rows(place, model, case, &reference[case.first_row * width..]);
        let mut stage = load_at(place, &fixture(model), case.context);
        assert_eq!(greedy(&mut stage, case), case.greedy, "{model}");
    }
}

/// As `check_at`, without an answer: the logits alone.
#[cfg(feature = "candle")]
pub(crate) fn check_logits_at(place: &Place, model: &str) {
    let (expected_cases, reference) = reference(model);
    for case in &expected_cases.cases {
        let first = case.first_row * expected_cases.vocabulary;
        check_rows(place, model, case, &reference[first..]);
    }
}

/// Compares the logits of a case with `expected`, whose rows begin with its own.
fn check_rows(place: &Place, model: &str, case: &Case, expected: &[f32]) {
    let mut stage = load_at(place, &fixture(model), case.context);
    let logits = logits_of(&mut stage, &case.prompt);
    for (position, logits) in logits.iter().enumerate() {
        let expected = &expected[position * logits.len()..][..logits.len()];
        compare(&format!("{model} position {position}"), logits, expected);
    }
}

/// A checkpoint of `fixtures/golden`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden").join(name)
}

pub(crate) fn load_at(place: &Place, path: &Path, context: u32) -> Stage {
    let checkpoint = checkpoint::open(path).expect("the fixture opens");
    let manifest = Manifest::build(&checkpoint, &mut |_, _| {}).expect("the manifest builds");
    let source = FileSource::open(&checkpoint.files).expect("the files open");
    let config = StageConfig::whole_model(&manifest.spec, context, KvType::F32);
    Stage::load_at(place, &manifest, &source, &config, &mut |_| {}).expect("the stage loads")
}

/// The prompts of a fixture, and the logits that `transformers` gives for them.
pub(crate) fn reference(name: &str) -> (Expected, Vec<f32>) {
    let text = std::fs::read_to_string(fixture(name).join("expected.json"));
    let expected = serde_json::from_str(&text.expect("expected.json"));
    (expected.expect("expected.json parses"), read_floats(fixture(name).join("logits.f32")))
}

/// Logits at every position, each token a row set of its own.
pub(crate) fn logits_of(stage: &mut Stage, prompt: &[u32]) -> Vec<Vec<f32>> {
    let table: Vec<_> = (0..prompt.len().div_ceil(16) as u32).map(BlockId).collect();
    let row = |(i, token): (usize, &u32)| rows_in(0, i, &[TokenId(*token)], table.clone());
    let batch = batch(prompt.iter().enumerate().map(row).collect());
    stage.logits(&batch, StageInput::Tokens).expect("the step runs")
}

fn greedy(stage: &mut Stage, case: &Case) -> Vec<u32> {
    let mut ids = case.prompt.clone();
    for _ in 0..case.greedy.len() {
        let logits = logits_of(stage, &ids).pop().expect("a last row");
        ids.push(argmax(&logits) as u32);
    }
    ids.split_off(case.prompt.len())
}

fn compare(name: &str, found: &[f32], expected: &[f32]) {
    let difference = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let largest = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    let error = difference / largest;
    assert!(error <= 1e-4, "{name}: relative error {error:e}");
    assert_eq!(argmax(found), argmax(expected), "{name}");
}

fn argmax(logits: &[f32]) -> usize {
    (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}

fn read_floats(path: PathBuf) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("logits.f32");
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect()
}
