//! Matrices that lie in parts have the values that independent readers find in them.

use std::path::PathBuf;

use checkpoint::{Checkpoint, Manifest, expected_tensors};
use protocol::ids::Digest;
use protocol::plan::Share;

use crate::kernels::{Compute, KernelSet};
use crate::weights::{FileSource, Tensors};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// Name and values, row by row, of every matrix and vector of a model.
fn values(name: &str) -> Vec<(String, Vec<f32>)> {
    let checkpoint = checkpoint::open(&fixture(name)).expect("the fixture opens");
    let source = FileSource::open(&checkpoint.files).expect("the files open");
    let Checkpoint { spec, tensors, .. } = checkpoint;
    let text = Digest::of(b"");
    let (files, chunks) = (Vec::new(), Vec::new());
    let manifest = Manifest { name: name.to_owned(), spec, files, tensors, chunks, text };
    let compute = Compute::new(KernelSet::best(), 1, || {});
    let mut done = 0;
    let mut progress = |bytes| done = bytes;
    let mut tensors = Tensors::new(
        &manifest,
        manifest.spec.slice(Share::WHOLE),
        &source,
        &compute,
        &mut progress,
    );
    let all = expected_tensors(&manifest.spec).into_iter().map(|expected| {
        let values = match expected.shape[..] {
            [rows, columns] => {
                let (rows, columns) = (rows as usize, columns as usize);
                let matrix = tensors.matrix(&expected.name, rows, columns).expect("a matrix");
                let mut values = vec![0.0; rows * columns];
                for (row, out) in values.chunks_exact_mut(columns).enumerate() {
                    matrix.row_to_f32(row, out);
                }
                values
            }
            _ => tensors.vector(&expected.name, expected.shape[0] as usize).expect("a vector"),
        };
        (expected.name, values)
    });
    let all = all.collect();
    let stored: u64 = manifest.tensors.iter().map(|tensor| tensor.bytes).sum();
    assert!(done >= stored, "every byte is read");
    all
}

/// The twin holds the experts in BF16, with the values that their MXFP4 stands for by `gguf`; those
/// that `transformers` gives for the folder are equal, as the script that made it checks.
#[test]
fn experts_in_mxfp4_with_powers_apart_have_the_values_of_their_twin_bit_for_bit() {
    let (folder, twin) = (values("golden/gpt-oss"), values("golden/gpt-oss.gguf"));
    assert_eq!(folder.len(), twin.len());
    for ((name, found), (twin_name, expected)) in folder.into_iter().zip(twin) {
        assert_eq!(name, twin_name);
        // Of a zero only the folder keeps the sign.
        assert!(found == expected, "{name}");
    }
}
