//! The committed fixtures, made by independent tools, read as what they are.

use protocol::model_spec::{
    Architecture, AttentionSpec, LayerRange, ModelSpec, RopeLayout, RopeScaling,
};

use super::fixture;
use crate::{TensorPlace, Vocabulary, WeightType, open};

#[test]
fn a_folder_and_its_gguf_twin_have_the_same_shape() {
    let folder = open(&fixture("golden/qwen2-tied")).expect("the folder opens");
    let twin = open(&fixture("golden/qwen2-tied.gguf")).expect("the file opens");
    assert_eq!(folder.spec, twin.spec);
    assert_eq!(folder.spec.architecture, Architecture::Qwen2);
    assert!(folder.spec.attention.qkv_bias && folder.spec.tied_embeddings);
    let names = |c: &crate::Checkpoint| -> Vec<_> {
        c.tensors.iter().map(|t| (t.name.clone(), t.shape.clone(), t.place)).collect()
    };
    assert_eq!(names(&folder), names(&twin));
}

#[test]
fn every_folder_and_its_twin_have_the_same_tensors_and_state() {
    let twins = [
        ("qwen3", "qwen3-00001-of-00002.gguf"),
        ("phi3", "phi3.gguf"),
        ("gemma2", "gemma2.gguf"),
        ("gemma3", "gemma3.gguf"),
        ("gemma4", "gemma4.gguf"),
        ("gemma4-moe", "gemma4-moe.gguf"),
        ("gemma4-e", "gemma4-e.gguf"),
        ("mixtral", "mixtral.gguf"),
        ("qwen3-moe", "qwen3-moe.gguf"),
        ("glm4-moe", "glm4-moe.gguf"),
        ("gpt-oss", "gpt-oss.gguf"),
        ("qwen3-next", "qwen3-next.gguf"),
        ("qwen3.5", "qwen3.5.gguf"),
        ("qwen3.5-moe", "qwen3.5-moe.gguf"),
    ];
    for (folder, twin) in twins {
        let folder = open(&fixture("golden").join(folder)).expect("the folder opens");
        let twin = open(&fixture("golden").join(twin)).expect("the file opens");
        let (a, b) = (&folder.spec, &twin.spec);
        let states = |spec: &ModelSpec| spec.layers.iter().map(|l| l.state).collect::<Vec<_>>();
        assert_eq!(states(a), states(b), "{}", a.architecture);
        let shape = |spec: &ModelSpec| {
            let scale = spec.attention.score_scale();
            let attention = AttentionSpec { scale: Some(scale), ..spec.attention };
            (spec.architecture, attention, spec.experts, spec.activation, spec.rope.dims)
        };
        assert_eq!(shape(a), shape(b));
        assert_eq!((&a.window_rope, a.logit_soft_cap), (&b.window_rope, b.logit_soft_cap));
        assert_eq!(a.window_attention, b.window_attention, "{}", a.architecture);
        assert_eq!(a.reusing_ffn_size, b.reusing_ffn_size, "{}", a.architecture);
        assert_eq!(a.per_layer_width, b.per_layer_width, "{}", a.architecture);
        assert_eq!(a.embedding_scale, b.embedding_scale, "{}", a.architecture);
        let names = |c: &crate::Checkpoint| -> Vec<_> {
            let own = c.tensors.iter().filter(|t| t.place != TensorPlace::Global);
            own.map(|t| (t.name.clone(), t.shape.clone())).collect()
        };
        // Experts that lie in parts; projections that are joined in one form and not in the other.
        if a.architecture != Architecture::GptOss && !a.architecture.is_hybrid() {
            assert_eq!(names(&folder), names(&twin), "{}", a.architecture);
        }
    }
}

#[test]
fn a_model_in_parts_is_found_by_any_of_them_and_misses_none() {
    let second = fixture("golden/qwen3-00002-of-00002.gguf");
    let model = open(&second).expect("the second of two files opens");
    assert_eq!(model.files.len(), 2);
    assert!(model.tensors.iter().any(|t| t.file == 0) && model.tensors.iter().any(|t| t.file == 1));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let alone = folder.path().join("model-00002-of-00002.gguf");
    std::fs::copy(&second, &alone).expect("copied");
    let error = open(&alone).expect_err("the first part is missing").to_string();
    assert!(error.contains("model-00001-of-00002.gguf"), "{error}");
    let renamed = folder.path().join("model.gguf");
    std::fs::copy(&second, &renamed).expect("copied");
    let error = open(&renamed).expect_err("its siblings have no name").to_string();
    assert!(error.contains("split.count") && error.contains("-of-00002"), "{error}");
}

#[test]
fn rope_scaling_is_read_in_both_forms() {
    let folder = open(&fixture("golden/llama-gqa-rope-scaled")).expect("the folder opens");
    let expected = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context_length: 64,
    };
    assert_eq!(folder.spec.rope.scaling, expected);
    assert_eq!(folder.spec.rope.layout, RopeLayout::HalfSplit);
    assert_eq!(folder.files.len(), 2, "both shards are found");
    let twin = open(&fixture("golden/llama-gqa-rope-scaled.gguf")).expect("the file opens");
    assert_eq!(twin.spec.rope.layout, RopeLayout::Interleaved);
    let RopeScaling::FrequencyFactors { factors } = &twin.spec.rope.scaling else {
        panic!("expected factors, found {:?}", twin.spec.rope.scaling);
    };
    assert_eq!(factors.len(), 4);
    assert!(factors[0] == 1.0 && factors[3] == 8.0, "{factors:?}");
    let freqs = twin.tensors.iter().find(|t| t.name == "rope_freqs.weight").expect("it is kept");
    assert_eq!(freqs.place, TensorPlace::Global);
}

#[test]
fn the_newer_spelling_of_a_configuration_is_understood() {
    let model = open(&fixture("golden/qwen2-untied-bf16")).expect("the folder opens");
    assert_eq!(model.spec.rope.theta, 1_000_000.0);
    assert_eq!(model.spec.weight_label, "BF16");
    assert!(!model.spec.tied_embeddings);
    assert!(model.tensors.iter().all(|t| t.weight_type == WeightType::BF16));
}

#[test]
fn byte_counts_add_up_to_the_tensors() {
    let model = open(&fixture("golden/llama-tied")).expect("the folder opens");
    let all: u64 = model.tensors.iter().map(|t| t.bytes).sum();
    assert_eq!(model.spec.stage_weight_bytes(model.spec.all_layers()), all);
    // A tied embedding is held at both ends of a pipeline.
    let ends = [LayerRange::new(0, 1), LayerRange::new(1, model.spec.layer_count())];
    let split: u64 = ends.map(|range| model.spec.stage_weight_bytes(range)).iter().sum();
    assert_eq!(split, all + model.spec.embedding_bytes);
    let matrices = 32 * 32 * 4 + 3 * 32 * 48;
    assert!(model.spec.layers.iter().all(|layer| layer.macs_per_token == matrices));
}

#[test]
fn the_text_side_names_its_special_tokens() {
    let text = open(&fixture("golden/llama-tied")).expect("the folder opens").text;
    assert!(matches!(&text.vocabulary, Vocabulary::TokenizerJson(json) if json.starts_with(b"{")));
    assert_eq!(text.bos.map(|id| id.0), Some(269));
    assert_eq!(text.eos.iter().map(|id| id.0).collect::<Vec<_>>(), [270]);
    assert!(text.chat_template.is_some_and(|t| t.contains("messages")));
    let named = |name: &str| text.named_tokens.iter().find(|t| t.name == name);
    assert_eq!(named("eos_token").map(|t| t.text.as_str()), Some("<|end_of_text|>"));
}

#[test]
fn a_file_with_a_vocabulary_and_no_weights_still_gives_its_text() {
    let path = fixture("vocabs/ggml-vocab-llama-spm.gguf");
    let text = crate::open_text(&path).expect("the text side opens");
    let Vocabulary::Gguf(vocabulary) = &text.vocabulary else { panic!("a GGUF vocabulary") };
    assert_eq!((vocabulary.model.as_str(), vocabulary.tokens.len()), ("llama", 32_000));
    assert!(text.add_bos && text.bos.map(|id| id.0) == Some(1));
    assert_eq!(crate::TextAssets::decode(&text.encode().expect("encodes")).expect("decodes"), text);
    let error = open(&path).expect_err("there are no weights");
    assert!(error.to_string().contains("token_embd.weight"), "{error}");
}

#[test]
fn the_demo_model_opens() {
    let model = open(&fixture("../models/demo/demo.gguf")).expect("the file opens");
    assert_eq!(model.spec.architecture, Architecture::Llama);
    assert!(model.spec.layer_count() >= 8 && model.spec.hidden_size.is_multiple_of(256));
    assert!(model.text.chat_template.is_some() && !model.text.eos.is_empty());
    assert_eq!(model.name, "Trireme Demo");
}
