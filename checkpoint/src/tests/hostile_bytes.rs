//! Random, cut and bent bytes never panic a reader, and a length that lies takes no memory.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use proptest::prelude::*;
use protocol::model_spec::Architecture;

use super::tiny_file;
use crate::{CheckpointError, Manifest, TextAssets, WeightType, open};

/// Opens bytes as a file of that name, and as the weights of a folder.
fn open_all(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.gguf");
    fs::write(&path, bytes).expect("written");
    let _ = open(&path);
    fs::copy(super::fixture("golden/llama-tied/config.json"), folder.path().join("config.json"))
        .expect("copied");
    fs::write(folder.path().join("model.safetensors"), bytes).expect("written");
    assert!(open(folder.path()).is_err(), "there is no tokenizer");
}

/// The header of a small valid file, and its length.
fn valid() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let (_folder, path) = tiny_file(Architecture::Qwen2, WeightType::Q4_0);
        fs::read(path).expect("the file is there")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        open_all(&bytes);
        let mut gguf = b"GGUF\x03\0\0\0".to_vec();
        gguf.extend(&bytes);
        open_all(&gguf);
        let mut safetensors = (bytes.len() as u64).to_le_bytes().to_vec();
        safetensors.extend(&bytes);
        open_all(&safetensors);
        let _ = Manifest::decode(&bytes);
        let _ = TextAssets::decode(&bytes);
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error(length in 0..valid().len()) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("cut.gguf");
        fs::write(&path, &valid()[..length]).expect("written");
        prop_assert!(open(&path).is_err());
    }

    #[test]
    fn bent_bytes_in_the_header_never_panic(
        changes in proptest::collection::vec((0..16_000_usize, any::<u8>()), 1..8),
    ) {
        let mut bytes = valid().to_vec();
        for (place, value) in changes {
            bytes[place] = value;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("bent.gguf");
        fs::write(&path, &bytes).expect("written");
        let _ = open(&path);
    }
}

fn error_of(bytes: &[u8]) -> CheckpointError {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("hostile.gguf");
    fs::write(&path, bytes).expect("written");
    open(Path::new(&path)).expect_err("the length lies")
}

fn header(tensors: u64, fields: u64) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(fields.to_le_bytes());
    bytes
}

#[test]
fn lengths_beyond_the_file_are_refused_before_memory_is_taken() {
    // Each of these would ask for more memory than any machine has.
    let check = |bytes: &[u8]| {
        let error = error_of(bytes);
        let refused =
            matches!(error, CheckpointError::OverLimit { .. } | CheckpointError::Truncated { .. });
        assert!(refused, "{error}");
    };
    check(&header(u64::MAX, 0));
    check(&header(0, u64::MAX));
    let mut long_key = header(0, 1);
    long_key.extend(u64::MAX.to_le_bytes());
    long_key.resize(200, b'a');
    check(&long_key);
    for kind in [0_u32, 1, 4, 5, 6, 8, 10, 12] {
        let mut array = header(0, 1);
        array.extend(1_u64.to_le_bytes());
        array.push(b'k');
        array.extend(9_u32.to_le_bytes());
        array.extend(kind.to_le_bytes());
        array.extend((u64::MAX / 2).to_le_bytes());
        array.resize(200, 0);
        check(&array);
    }
}

#[test]
fn a_safetensors_header_longer_than_its_file_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(super::fixture("golden/llama-tied/config.json"), folder.path().join("config.json"))
        .expect("copied");
    let weights = folder.path().join("model.safetensors");
    for length in [u64::MAX, 1 << 40, 1 << 20] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(b"{}");
        fs::write(&weights, bytes).expect("written");
        let text = open(folder.path()).expect_err("the length lies").to_string();
        assert!(text.contains("model.safetensors"), "{text}");
    }
}
