//! Hugging Face folders that lack a file or contradict themselves.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::fixture;
use crate::open;

/// Copies a fixture, lets `change` break it, and expects an error that says all of `wanted`.
fn check(name: &str, change: impl FnOnce(&Path), wanted: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(fixture(name)).expect("the fixture is there") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().expect("a name");
        fs::copy(&path, folder.path().join(file)).expect("copied");
    }
    change(folder.path());
    let text = open(folder.path()).expect_err("the folder is broken").to_string();
    for part in wanted {
        assert!(text.contains(part), "expected `{part}` in: {text}");
    }
}

fn set(folder: &Path, file: &str, field: &str, value: Value) {
    let path = folder.join(file);
    let mut json: Value =
        serde_json::from_slice(&fs::read(&path).expect("readable")).expect("JSON");
    json[field] = value;
    fs::write(&path, json.to_string()).expect("written");
}

fn configured(field: &str, value: Value, wanted: &[&str]) {
    check("golden/llama-tied", |f| set(f, "config.json", field, value), wanted);
}

#[test]
fn a_configuration_that_contradicts_the_tensors_names_one() {
    configured("intermediate_size", json!(100), &["blk.0.ffn_gate.weight", "[48, 32]"]);
    configured("num_hidden_layers", json!(4), &["blk.3.attn_norm.weight", "missing"]);
    configured("vocab_size", json!(300), &["token_embd.weight", "[300, 32]"]);
    configured("tie_word_embeddings", json!(false), &["output.weight", "missing"]);
}

#[test]
fn settings_that_no_recipe_knows_are_refused_by_name() {
    configured("model_type", json!("mamba"), &["`mamba`", "llama, qwen2"]);
    configured("rope_scaling", json!({"rope_type": "ntk", "factor": 2}), &["ntk", "llama3"]);
    configured(
        "rope_scaling",
        json!({"rope_type": "yarn", "factor": 2}),
        &["original_max_position_embeddings", "missing"],
    );
    configured("hidden_act", json!("gelu"), &["hidden_act", "silu"]);
    let bits = json!({"quant_method": "bitsandbytes"});
    configured("quantization_config", bits, &["config.json", "bitsandbytes", "`gptq`", "GGUF"]);
    let bits = |bits: u32| json!({"quant_method": "gptq", "bits": bits, "group_size": 128});
    configured("quantization_config", bits(3), &["config.json", "config.bits", "3", "expected 4"]);
    configured("quantization_config", bits(8), &["config.json", "config.bits", "8", "expected 4"]);
    let version = json!({"quant_method": "awq", "bits": 4, "version": "gemv"});
    configured("quantization_config", version, &["config.version", "gemv", "`gemm`"]);
    let block = json!({"quant_method": "fp8", "weight_block_size": [64, 64]});
    configured("quantization_config", block, &["weight_block_size", "[64,64]", "[128, 128]"]);
    configured("quantization_config", json!(4), &["quantization_config", "an object"]);
    configured("attention_bias", json!(true), &["attention_bias"]);
    configured("hidden_size", json!("big"), &["hidden_size", "big"]);
    configured("hidden_size", Value::Null, &["hidden_size", "missing"]);
    configured("num_attention_heads", json!(0), &["attention heads"]);
}

#[test]
fn the_shape_of_delta_nets_must_hold_together() {
    let broken = |field: &str, value: Value, wanted: &[&str]| {
        check("golden/qwen3-next", |f| set(f, "config.json", field, value), wanted);
    };
    broken("linear_num_value_heads", json!(3), &["linear value heads", "multiple of the 2"]);
    broken("linear_num_key_heads", json!(0), &["linear key heads", "1 to"]);
    broken("linear_conv_kernel_dim", json!(0), &["taps of the convolution", "1 to 64"]);
    broken("linear_conv_kernel_dim", json!(3), &["blk.0.ssm_conv1d.weight", "[336]"]);
    broken("linear_key_head_dim", Value::Null, &["linear_key_head_dim", "missing"]);
    let huge = json!(16_384);
    broken("linear_value_head_dim", huge, &["blk.0.ssm_in.weight", "[131120, 16]"]);
    broken("layer_types", json!(["linear_attention"]), &["layer_types", "4 times"]);
    broken("full_attention_interval", json!(0), &["full_attention_interval", "at least 1"]);
    broken("full_attention_interval", json!(2), &["blk.1.attn_q.weight", "missing"]);
    broken("attn_output_gate", json!(false), &["attn_output_gate", "true"]);
    broken("partial_rotary_factor", json!(2), &["partial_rotary_factor", "at most 1"]);
}

#[test]
fn a_missing_file_is_named() {
    let remove = |name: &'static str| {
        move |folder: &Path| fs::remove_file(folder.join(name)).expect("removed")
    };
    check("golden/llama-tied", remove("config.json"), &["not a model"]);
    check("golden/llama-tied", remove("model.safetensors"), &["not a model"]);
    check("golden/llama-tied", remove("tokenizer.json"), &["tokenizer.json"]);
    let shard = "model-00002-of-00002.safetensors";
    check("golden/llama-gqa-rope-scaled", remove(shard), &[shard]);
}

#[test]
fn a_cut_or_foreign_weight_file_is_named() {
    let cut = |keep: usize| {
        move |folder: &Path| {
            let path = folder.join("model.safetensors");
            let bytes = fs::read(&path).expect("readable");
            fs::write(&path, &bytes[..keep.min(bytes.len())]).expect("written");
        }
    };
    check("golden/llama-tied", cut(4), &["model.safetensors", "truncated"]);
    check("golden/llama-tied", cut(50), &["model.safetensors", "truncated"]);
    check("golden/llama-tied", cut(20_000), &["model.safetensors", "truncated", "tensor"]);
    let foreign = |folder: &Path| {
        fs::write(folder.join("model.safetensors"), b"not safetensors at all").expect("written");
    };
    check("golden/llama-tied", foreign, &["model.safetensors", "header"]);
}

#[test]
fn an_index_cannot_reach_outside_its_folder() {
    let escape = |folder: &Path| {
        let map = json!({"lm_head.weight": "../../etc/passwd"});
        set(folder, "model.safetensors.index.json", "weight_map", map);
    };
    check("golden/llama-gqa-rope-scaled", escape, &["weight_map", "passwd"]);
}

#[test]
fn a_tensor_that_the_index_promises_must_be_there() {
    let promise = |folder: &Path| {
        let path = folder.join("model.safetensors.index.json");
        let text = fs::read_to_string(&path).expect("readable");
        let mut index: Value = serde_json::from_str(&text).expect("JSON");
        index["weight_map"]["model.layers.9.mlp.up_proj.weight"] =
            json!("model-00001-of-00002.safetensors");
        fs::write(path, index.to_string()).expect("written");
    };
    check("golden/llama-gqa-rope-scaled", promise, &["model.layers.9.mlp.up_proj.weight"]);
}

/// Renames a tensor of a folder: as long as it was.
fn renamed(folder: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let path = folder.join("model.safetensors");
    let mut bytes = fs::read(&path).expect("readable");
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes());
    let at = at.expect("the name is there");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    fs::write(&path, bytes).expect("written");
}

#[test]
fn a_quantised_matrix_without_one_of_its_parts_is_named() {
    let gone = |from: &'static str, to: &'static str| move |f: &Path| renamed(f, from, to);
    let lost = |part: &'static str| {
        let from: String = format!("model.layers.1.mlp.down_proj.{part}");
        let to = format!("model.layers.1.mlp.down_prox.{part}");
        move |folder: &Path| renamed(folder, &from, &to)
    };
    let wanted = |part: &'static str| ["blk.1.ffn_down.", part];
    check("golden/qwen2-gptq", lost("scales"), &wanted("scales"));
    check("golden/qwen2-gptq", lost("qzeros"), &wanted("gptq_zeros"));
    check("golden/qwen2-gptq", lost("qweight"), &wanted("weight"));
    check("golden/llama-awq", lost("qzeros"), &wanted("awq_zeros"));
    let fp8 = "model.layers.0.mlp.up_proj.weight_scale_inv";
    let other = "model.layers.0.mlp.up_prox.weight_scale_inv";
    check("golden/llama-fp8", gone(fp8, other), &["blk.0.ffn_up.scales", "missing"]);
    let scales = "model.layers.0.mlp.experts.down_proj_scales";
    let other = "model.layers.0.mlp.experts.down_prox_scales";
    check("golden/gpt-oss", gone(scales, other), &["blk.0.ffn_down.0.mxfp4_scales", "missing"]);
}

#[test]
fn a_configuration_of_other_sizes_than_the_codes_is_told() {
    let wider = |f: &Path| set(f, "config.json", "intermediate_size", json!(160));
    check("golden/qwen2-gptq", wider, &["ffn_gate", "[96, 64]", "[160, 64]"]);
    check("golden/llama-awq", wider, &["ffn_gate", "[128, 64]", "[160, 64]"]);
    check("golden/llama-fp8", wider, &["ffn_gate", "[256, 128]", "[160, 128]"]);
}
