//! GGUF files that are cut, foreign, or at odds with themselves: each error names what is wrong.

use std::fs;
use std::path::Path;

use protocol::model_spec::Architecture;

use super::tiny_file;
use crate::{CheckpointError, WeightType, open};

/// Writes a tiny file with `change` made to its bytes, and returns the error of opening it.
fn error_after(change: impl FnOnce(&mut Vec<u8>)) -> CheckpointError {
    let (_folder, path) = tiny_file(Architecture::Llama, WeightType::Q8_0);
    let mut bytes = fs::read(&path).expect("the file is there");
    change(&mut bytes);
    fs::write(&path, bytes).expect("the file is written");
    open(&path).expect_err("the file is broken")
}

/// Replaces the first `from` by as many bytes of `to`.
fn replace(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let place = bytes.windows(from.len()).position(|w| w == from.as_bytes());
    let place = place.unwrap_or_else(|| panic!("`{from}` is in the file"));
    bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
}

fn check(error: &CheckpointError, wanted: &[&str]) {
    let text = error.to_string();
    assert!(text.contains("tiny.gguf"), "names the file: {text}");
    for part in wanted {
        assert!(text.contains(part), "expected `{part}` in: {text}");
    }
}

#[test]
fn a_truncated_file_names_the_tensor_that_is_cut() {
    check(&error_after(|b| b.truncate(b.len() - 1)), &["truncated", "output.weight"]);
    check(&error_after(|b| b.truncate(100)), &["truncated"]);
    check(&error_after(|b| b.truncate(9)), &["truncated", "tensor count"]);
}

#[test]
fn a_foreign_file_is_told_apart() {
    check(&error_after(|b| b[..4].copy_from_slice(b"PK\x03\x04")), &["GGUF", "50 4b"]);
    check(&error_after(|b| b[4] = 1), &["version 1"]);
    check(&error_after(|b| b[4..8].reverse()), &["version 50331648"]);
    check(&error_after(|b| b.clear()), &["not a model"]);
    let nowhere = open(Path::new("/nowhere/tiny.gguf")).expect_err("there is no such file");
    check(&nowhere, &["cannot read"]);
}

#[test]
fn an_unknown_architecture_is_named_beside_the_known_ones() {
    let error = error_after(|b| replace(b, "\u{5}\0\0\0\0\0\0\0llama", "\u{5}\0\0\0\0\0\0\0mamba"));
    check(&error, &["`mamba`", "llama, qwen2"]);
}

#[test]
fn a_missing_or_renamed_tensor_is_named() {
    let error = error_after(|b| replace(b, "blk.2.ffn_up.weight", "blk.2.ffn_xx.weight"));
    check(&error, &["`blk.2.ffn_up.weight`", "missing"]);
    let error = error_after(|b| replace(b, "blk.3.attn_k.weight", "blk.3.attn_q.weight"));
    check(&error, &["`blk.3.attn_q.weight`", "twice"]);
}

#[test]
fn a_field_that_contradicts_the_tensors_is_named_by_the_first_tensor_it_hits() {
    let error = error_after(|b| set_field(b, "llama.feed_forward_length", 480));
    check(&error, &["blk.0.ffn_gate.weight", "[512, 256]", "[480, 256]"]);
    let error = error_after(|b| set_field(b, "llama.block_count", 5));
    check(&error, &["blk.4.attn_norm.weight", "missing"]);
    let error = error_after(|b| set_field(b, "llama.block_count", 3));
    check(&error, &["blk.3.", "not part of a llama model"]);
    let error = error_after(|b| set_field(b, "llama.attention.head_count_kv", 3));
    check(&error, &["key-value heads", "3", "divisor of the 8"]);
    let error = error_after(|b| set_field(b, "llama.embedding_length", 0));
    check(&error, &["hidden size", "is 0"]);
    let error = error_after(|b| set_field(b, "llama.rope.dimension_count", 16));
    check(&error, &["llama.rope.dimension_count", "16", "32"]);
}

#[test]
fn a_missing_field_is_named() {
    let error = error_after(|b| replace(b, "llama.block_count", "llama.block_xxxxx"));
    check(&error, &["`llama.block_count`", "missing"]);
}

#[test]
fn a_tensor_type_that_is_not_read_is_named_with_its_tensor() {
    let error = error_after(|b| {
        let name = b"blk.1.ffn_down.weight";
        let place = b.windows(name.len()).position(|w| w == name).expect("the tensor is there");
        // Behind the name: the number of dimensions (4 bytes), two sizes, then the type.
        let kind = place + name.len() + 4 + 16;
        b[kind..kind + 4].copy_from_slice(&16_u32.to_le_bytes());
    });
    check(&error, &["`blk.1.ffn_down.weight`", "IQ2_XXS", "Q4_K"]);
}

#[test]
fn a_special_token_beyond_the_vocabulary_is_named() {
    let error = error_after(|b| set_field(b, "tokenizer.ggml.eos_token_id", 512));
    check(&error, &["tokenizer.ggml.eos_token_id", "512", "below 512"]);
}

/// Overwrites a 32-bit metadata field.
fn set_field(bytes: &mut [u8], key: &str, value: u32) {
    let mut wanted = (key.len() as u64).to_le_bytes().to_vec();
    wanted.extend(key.as_bytes());
    let place = bytes.windows(wanted.len()).position(|w| w == wanted).expect("the field is there");
    let value_at = place + wanted.len() + 4;
    bytes[value_at..value_at + 4].copy_from_slice(&value.to_le_bytes());
}
