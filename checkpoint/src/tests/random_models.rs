//! The writer of random files and the reader agree, in every type and shape.

use protocol::model_spec::{Architecture, LayerRange};

use super::tiny_file;
use crate::testing::{RandomModel, WeightMix, write_random_gguf};
use crate::{Manifest, WeightType, open};

#[test]
fn every_weight_type_opens_in_both_families() {
    for architecture in [Architecture::Llama, Architecture::Qwen2] {
        for kind in WeightType::ALL.into_iter().filter(|kind| kind.ggml_number().is_some()) {
            let (_folder, path) = tiny_file(architecture, kind);
            let model = open(&path).unwrap_or_else(|e| panic!("{architecture} {kind}: {e}"));
            assert_eq!(model.spec.weight_label, kind.name());
            let q = model.tensors.iter().find(|t| t.name == "blk.0.attn_q.weight");
            assert_eq!(q.map(|t| t.weight_type), Some(kind));
            assert_eq!(model.spec.architecture, architecture);
            assert_eq!(model.spec.layer_count(), 4);
            let size = std::fs::metadata(&path).expect("the file is there").len();
            let end = model.tensors.iter().map(|t| t.offset + t.bytes).max();
            assert_eq!(end, Some(size), "the last tensor ends with the file");
        }
    }
}

#[test]
fn rows_that_no_k_block_fits_get_smaller_blocks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("narrow.gguf");
    let mut model = RandomModel::qwen2_half_billion(1, WeightMix::q4_k_m(), 3);
    model.vocab = 1024;
    write_random_gguf(&path, &model).expect("the file is written");
    let read = open(&path).expect("the file opens");
    let kind = |name: &str| read.tensors.iter().find(|t| t.name == name).map(|t| t.weight_type);
    assert_eq!(kind("token_embd.weight"), Some(WeightType::Q8_0));
    assert_eq!(kind("blk.0.attn_q.weight"), Some(WeightType::Q5_0));
    assert_eq!(kind("blk.0.ffn_down.weight"), Some(WeightType::Q6K));
    assert!(read.spec.tied_embeddings);
}

#[test]
fn the_same_seed_gives_the_same_file() {
    let (_a, first) = tiny_file(Architecture::Llama, WeightType::Q4K);
    let (_b, second) = tiny_file(Architecture::Llama, WeightType::Q4K);
    let digest = |path| {
        let manifest = Manifest::build(&open(path).expect("opens"), &mut |_, _| ());
        manifest.expect("hashes").digest().expect("encodes")
    };
    assert_eq!(digest(&first), digest(&second));
    let all = LayerRange::new(0, 4);
    let model = open(&first).expect("opens");
    assert!(model.spec.stage_weight_bytes(all) > 0);
}

#[test]
#[ignore = "writes 0.8 GB"]
fn a_model_of_one_billion_parameters_is_written_and_opens() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("large.gguf");
    let model = RandomModel::llama_one_billion(WeightMix::q4_k_m(), 7);
    write_random_gguf(&path, &model).expect("the file is written");
    let read = open(&path).expect("the file opens");
    let bytes = read.spec.stage_weight_bytes(LayerRange::new(0, 16));
    assert!((700_000_000..900_000_000).contains(&bytes), "{bytes}");
    Manifest::build(&read, &mut |_, _| ()).expect("hashes");
}
