//! Logits of tiny random models agree with those of Hugging Face `transformers`.

use std::path::{Path, PathBuf};

use checkpoint::Manifest;
use engine::{FileSource, Stage, StageConfig, StageInput};
use protocol::ids::{BlockId, TokenId};
use protocol::model_spec::KvType;
use serde::Deserialize;

use crate::running::{batch, rows_in};

/// `expected.json` of a fixture.
#[derive(Deserialize)]
struct Expected {
    vocabulary: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    prompt: Vec<u32>,
    first_row: usize,
    greedy: Vec<u32>,
}

#[test]
fn llama_with_grouped_heads_and_scaled_rope() {
    check("llama-gqa-rope-scaled", "llama-gqa-rope-scaled");
}

#[test]
fn llama_with_a_tied_head() {
    check("llama-tied", "llama-tied");
}

#[test]
fn qwen2_with_biases_and_a_tied_head() {
    check("qwen2-tied", "qwen2-tied");
}

#[test]
fn qwen2_stored_in_bf16() {
    check("qwen2-untied-bf16", "qwen2-untied-bf16");
}

#[test]
fn the_same_weights_in_gguf() {
    check("llama-gqa-rope-scaled.gguf", "llama-gqa-rope-scaled");
    check("qwen2-tied.gguf", "qwen2-tied");
}

fn check(model: &str, expected: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden");
    let text = std::fs::read_to_string(folder.join(expected).join("expected.json"));
    let expected_cases: Expected =
        serde_json::from_str(&text.expect("expected.json")).expect("expected.json parses");
    let reference = read_floats(folder.join(expected).join("logits.f32"));
    let width = expected_cases.vocabulary;
    for case in &expected_cases.cases {
        let mut stage = load(&folder.join(model));
        let logits = logits_of(&mut stage, &case.prompt);
        for (position, logits) in logits.iter().enumerate() {
            let row = case.first_row + position;
            let name = format!("{model} position {position}");
            compare(&name, logits, &reference[row * width..(row + 1) * width]);
        }
        assert_eq!(greedy(&mut load(&folder.join(model)), case), case.greedy, "{model}");
    }
}

fn load(path: &Path) -> Stage {
    let checkpoint = checkpoint::open(path).expect("the fixture opens");
    let manifest = Manifest::build(&checkpoint, &mut |_, _| {}).expect("the manifest builds");
    let source = FileSource::open(&checkpoint.files).expect("the files open");
    let config = StageConfig::whole_model(&manifest.spec, 128, KvType::F32);
    Stage::load(&manifest, &source, &config, &mut |_| {}).expect("the stage loads")
}

/// Logits at every position, each token a row set of its own.
fn logits_of(stage: &mut Stage, prompt: &[u32]) -> Vec<Vec<f32>> {
    let table: Vec<_> = (0..8).map(BlockId).collect();
    let row = |(i, token): (usize, &u32)| rows_in(1, i, &[TokenId(*token)], table.clone());
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
