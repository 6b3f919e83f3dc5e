//! Manifests: full cover, stage ranges, and refusal of what does not hold together.

use std::fs;

use protocol::ids::Digest;
use protocol::limits::CHUNK_BYTES_MAX;
use protocol::model_spec::{Activation, Architecture, LayerRange};
use protocol::plan::Share;

use super::{fixture, tiny_file};
use crate::testing::{RandomModel, write_random_gguf};
use crate::{CheckpointError, Manifest, TensorPlace, WeightType, held_bytes, open};

fn build(path: &std::path::Path) -> Manifest {
    let checkpoint = open(path).expect("the model opens");
    Manifest::build(&checkpoint, &mut |_, _| ()).expect("the model hashes")
}

#[test]
fn chunks_cover_every_tensor_and_their_digests_are_of_the_files_bytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("large.gguf");
    let mut model = RandomModel::tiny(Architecture::Llama, WeightType::F32, 5);
    model.vocab = 5000;
    write_random_gguf(&path, &model).expect("the file is written");
    let manifest = build(&path);
    let bytes = fs::read(&path).expect("the file is there");
    let mut chunks = manifest.chunks.iter();
    for tensor in &manifest.tensors {
        let mut next = tensor.offset;
        while next < tensor.offset + tensor.bytes {
            let chunk = chunks.next().expect("a chunk for the rest of the tensor");
            assert_eq!(chunk.offset, next);
            assert!(chunk.bytes <= CHUNK_BYTES_MAX);
            let range = next as usize..(next + chunk.bytes) as usize;
            assert_eq!(chunk.digest, Digest::of(&bytes[range]));
            next += chunk.bytes;
        }
        assert_eq!(next, tensor.offset + tensor.bytes, "no chunk crosses a tensor's end");
    }
    assert!(chunks.next().is_none());
    assert!(manifest.chunks.len() > manifest.tensors.len(), "the embedding takes two chunks");
}

#[test]
fn progress_ends_at_the_total() {
    let checkpoint = open(&fixture("golden/llama-tied")).expect("the folder opens");
    let mut seen = Vec::new();
    Manifest::build(&checkpoint, &mut |done, total| seen.push((done, total))).expect("hashes");
    let total: u64 = checkpoint.tensors.iter().map(|t| t.bytes).sum();
    assert_eq!(seen.first(), Some(&(0, total)));
    assert_eq!(seen.last(), Some(&(total, total)));
}

#[test]
fn a_tied_embedding_belongs_to_both_ends() {
    let manifest = build(&fixture("golden/llama-tied"));
    let holds = |range, name: &str| manifest.tensors_of(range).any(|t| t.name == name);
    let (first, middle, last) =
        (LayerRange::new(0, 1), LayerRange::new(1, 2), LayerRange::new(2, 3));
    assert!(holds(first, "token_embd.weight") && holds(last, "token_embd.weight"));
    assert!(!holds(middle, "token_embd.weight") && !holds(first, "output_norm.weight"));
    assert!(holds(last, "output_norm.weight") && holds(middle, "blk.1.attn_q.weight"));
    for range in [first, middle, last] {
        // Float weights of whole panels take what they do in their file.
        assert_eq!(manifest.stage_bytes(range), manifest.spec.stage_weight_bytes(range));
        let held = held_bytes(&manifest, range, Share::WHOLE).expect("all tensors are there");
        assert_eq!(held, manifest.spec.stage_weight_bytes(range));
        let chunks = manifest.chunks_of(range);
        let bytes: u64 = chunks.iter().map(|c| manifest.chunks[*c as usize].bytes).sum();
        assert_eq!(bytes, manifest.stage_bytes(range), "{range}");
    }
}

#[test]
fn rope_frequencies_are_chunked_but_no_stage_loads_them() {
    let manifest = build(&fixture("golden/llama-gqa-rope-scaled.gguf"));
    let all = manifest.spec.all_layers();
    assert!(manifest.tensors.iter().any(|t| t.place == TensorPlace::Global));
    assert!(manifest.tensors_of(all).all(|t| t.place != TensorPlace::Global));
    assert_eq!(manifest.chunks_of(all).len() + 1, manifest.chunks.len());
}

#[test]
fn a_manifest_comes_back_and_its_digest_depends_on_the_weights() {
    let (_folder, path) = tiny_file(Architecture::Qwen2, WeightType::Q8_0);
    let before = build(&path);
    let encoded = before.encode().expect("encodes");
    assert_eq!(Manifest::decode(&encoded).expect("decodes"), before);
    let mut bytes = fs::read(&path).expect("the file is there");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&path, bytes).expect("the file is written");
    assert_ne!(build(&path).digest().expect("encodes"), before.digest().expect("encodes"));
}

#[test]
fn a_manifest_that_leaves_its_files_or_its_tensors_is_refused() {
    let (_folder, path) = tiny_file(Architecture::Llama, WeightType::F16);
    let good = build(&path);
    let refused = |change: &dyn Fn(&mut Manifest)| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = Manifest::decode(&bad.encode().expect("encodes")).expect_err("inconsistent");
        assert!(matches!(error, CheckpointError::BadManifest { .. }), "{error}");
    };
    refused(&|m| m.files[0].bytes -= 1);
    refused(&|m| m.tensors[3].file = 7);
    refused(&|m| m.tensors[3].offset = u64::MAX);
    refused(&|m| m.tensors[0].bytes += 1);
    refused(&|m| m.chunks[2].offset += 1);
    refused(&|m| m.chunks.truncate(4));
}

#[test]
fn a_manifest_from_elsewhere_obeys_the_limits_of_a_file_that_is_opened_here() {
    let (_folder, path) = tiny_file(Architecture::Llama, WeightType::F16);
    let good = build(&path);
    let refused = |field: &str, change: &dyn Fn(&mut Manifest)| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = Manifest::decode(&bad.encode().expect("encodes")).expect_err("no such size");
        assert!(error.to_string().contains(field), "{error}");
    };
    refused("hidden size", &|m| m.spec.hidden_size = 0);
    refused("key-value heads", &|m| m.spec.attention.kv_heads = 3);
    refused("soft cap of the logits", &|m| m.spec.logit_soft_cap = Some(f32::NAN));
    let limit = f32::NAN;
    refused("limit of the activation", &|m| {
        m.spec.activation = Activation::ClampedSwiglu { alpha: 1.0, limit };
    });
}
