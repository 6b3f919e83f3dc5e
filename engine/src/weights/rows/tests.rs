//! Matrices that lie in parts have the values that independent readers find in them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

use checkpoint::{
    Checkpoint, Manifest, StoredForm, StoredMatrix, TensorEntry, TensorPart, TensorPlace,
    WeightType, expected_tensors,
};
use protocol::ids::Digest;
use protocol::plan::Share;

use super::window_of_file::read_floats;
use crate::error::EngineError;
use crate::kernels::{Compute, KernelSet};
use crate::weights::{FileSource, Matrix, Tensors, WeightSource};

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

/// A file of `fixtures/quantised_linears`, its tensors under canonical names.
fn linear(name: &str) -> (FileSource, HashMap<String, TensorEntry>) {
    let path = fixture("quantised_linears").join(name).with_extension("safetensors");
    let bytes = std::fs::read(&path).expect("the fixture reads");
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
    let tensors: HashMap<String, serde_json::Value> =
        serde_json::from_slice(&bytes[8..8 + header]).expect("a header");
    let entry = |(ending, tensor): (String, serde_json::Value)| {
        let part = match (ending.as_str(), name.split_once('-').expect("a method").0) {
            ("qweight", method) => format!("{method}_codes"),
            ("qzeros", "gptq") if !name.contains("-v2-") => "gptq_zeros_less_one".to_owned(),
            ("qzeros", method) => format!("{method}_zeros"),
            ("g_idx", _) => "gptq_groups".to_owned(),
            (other, _) => other.to_owned(),
        };
        let numbers = |field: &str| -> Vec<u64> {
            serde_json::from_value(tensor[field].clone()).expect("numbers")
        };
        let weight_type = match tensor["dtype"].as_str() {
            Some("I32") => WeightType::I32,
            Some("F16") => WeightType::F16,
            _ => WeightType::F32,
        };
        let (range, shape) = (numbers("data_offsets"), numbers("shape"));
        let (offset, bytes) = (8 + header as u64 + range[0], range[1] - range[0]);
        let (name, place) = (format!("blk.0.attn_q.{part}"), TensorPlace::of("blk.0."));
        (name.clone(), TensorEntry { name, place, weight_type, shape, file: 0, offset, bytes })
    };
    let source = FileSource::open(&[path]).expect("the file opens");
    (source, tensors.into_iter().map(entry).collect())
}

fn read(
    (source, entries): &(FileSource, HashMap<String, TensorEntry>),
    part: TensorPart,
    shape: [u64; 2],
    set: KernelSet,
) -> Result<Matrix, EngineError> {
    let stored = StoredMatrix::find("blk.0.attn_q.weight", |name| entries.get(name))?;
    let rows = super::open(stored, part, shape, source)?;
    Matrix::read(&*rows, &Compute::new(set, 1, || {}), &mut |_| {})
}

fn floats(entry: &TensorEntry, source: &FileSource) -> Vec<f32> {
    let count = entry.shape.iter().product::<u64>() as usize;
    read_floats(entry, count, 0..1, 0..count, source).expect("the values")
}

fn matrix_values(matrix: &Matrix) -> Vec<f32> {
    let mut values = vec![0.0; matrix.rows * matrix.columns];
    for (row, out) in values.chunks_exact_mut(matrix.columns).enumerate() {
        matrix.row_to_f32(row, out);
    }
    values
}

const LINEARS: [(&str, u64); 6] = [
    ("gptq-32-ordered", 128),
    ("gptq-128-symmetric", 256),
    ("gptq-v2-64", 192),
    ("gptq-v2-one-group", 96),
    ("awq-32", 96),
    ("awq-128", 256),
];

#[test]
fn gptq_and_awq_stand_for_the_values_of_their_plain_definitions_bit_for_bit() {
    for (name, columns) in LINEARS {
        let linear = linear(name);
        let expected = &linear.1["blk.0.attn_q.expected"];
        let expected = floats(expected, &linear.0);
        for set in KernelSet::available() {
            let whole = read(&linear, TensorPart::Whole, [24, columns], set).expect("a matrix");
            assert!(matrix_values(&whole) == expected, "{name}, {set}");
        }
        let set = KernelSet::best();
        let part = read(&linear, TensorPart::Rows(8..21), [13, columns], set).expect("rows");
        let columns = columns as usize;
        assert!(matrix_values(&part) == expected[8 * columns..21 * columns], "{name}");
    }
}

#[test]
fn columns_are_cut_between_groups_unless_they_have_an_order_of_their_own() {
    let linear_128 = linear("awq-128");
    let expected = floats(&linear_128.1["blk.0.attn_q.expected"], &linear_128.0);
    let right = TensorPart::Columns(128..256);
    let part = read(&linear_128, right, [24, 128], KernelSet::best()).expect("columns");
    let expected = expected.chunks_exact(256).flat_map(|row| &row[128..]).copied();
    assert!(matrix_values(&part) == expected.collect::<Vec<_>>());
    let error = |name: &str, columns: std::ops::Range<u64>| {
        let shape = [24, columns.end - columns.start];
        let read = read(&linear(name), TensorPart::Columns(columns), shape, KernelSet::best());
        read.err().expect("it cannot be cut there").to_string()
    };
    let text = error("awq-128", 64..192);
    assert!(text.contains("blocks of 128"), "{text}");
    let text = error("gptq-32-ordered", 0..64);
    assert!(text.contains("desc_act"), "{text}");
}

#[test]
fn groups_of_another_length_than_the_scales_say_are_told() {
    let (source, mut entries) = linear("gptq-32-ordered");
    // The zeros' words in the place of the groups' numbers.
    let zeros = entries["blk.0.attn_q.gptq_codes"].offset;
    entries.get_mut("blk.0.attn_q.gptq_groups").expect("groups").offset = zeros;
    let read = read(&(source, entries), TensorPart::Whole, [24, 128], KernelSet::best());
    let text = read.err().expect("no such groups").to_string();
    assert!(text.contains("gptq_groups") && text.contains("32 columns in each"), "{text}");
}

/// Notes how many bytes of each tensor are read.
struct Counted<'a> {
    source: &'a FileSource,
    entries: Vec<&'a TensorEntry>,
    read: Mutex<HashMap<String, u64>>,
}

impl WeightSource for Counted<'_> {
    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let within =
            |entry: &&&TensorEntry| (entry.offset..entry.offset + entry.bytes).contains(&offset);
        let entry = self.entries.iter().find(within).expect("a tensor");
        let part = entry.name.rsplit('.').next().expect("a part").to_owned();
        *self.read.lock().expect("no panic").entry(part).or_default() += buffer.len() as u64;
        self.source.read_at(file, offset, buffer)
    }
}

#[test]
fn a_rank_reads_its_own_codes_scales_and_zeros_and_no_others() {
    // Of 24 outputs and 256 inputs in groups of 128.
    for (part, shape, expected) in [
        (TensorPart::Whole, [24, 256], [256 * 12, 2 * 12, 2 * 48]),
        (TensorPart::Rows(8..16), [8, 256], [256 * 4, 2 * 4, 2 * 16]),
        (TensorPart::Columns(128..256), [24, 128], [128 * 12, 12, 48]),
    ] {
        for (name, codes) in [("gptq-128-symmetric", "gptq_codes"), ("awq-128", "awq_codes")] {
            let (source, entries) = linear(name);
            let counted = Counted {
                source: &source,
                entries: entries.values().collect(),
                read: Mutex::default(),
            };
            let stored = StoredMatrix::find("blk.0.attn_q.weight", |name| entries.get(name));
            let rows = super::open(stored.expect("a matrix"), part.clone(), shape, &counted);
            let compute = Compute::new(KernelSet::best(), 2, || {});
            Matrix::read(&*rows.expect("it opens"), &compute, &mut |_| {}).expect("a matrix");
            let read = counted.read.into_inner().expect("no panic");
            let zeros = read.iter().find(|(part, _)| part.contains("zeros")).expect("zeros").1;
            assert_eq!([read[codes], *zeros, read["scales"]], expected, "{name} {part:?}");
        }
    }
}

#[test]
fn columns_of_8_bit_floats_are_read_alone_and_have_their_own_scales() {
    let folder = checkpoint::open(&fixture("golden/llama-fp8")).expect("the folder opens");
    let source = FileSource::open(&folder.files).expect("the files open");
    let entries: HashMap<_, _> =
        folder.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.clone())).collect();
    let find = |name: &str| entries.get(name);
    let name = entries.keys().find(|name| {
        let stored = StoredMatrix::find(name, find);
        stored.is_ok_and(|stored| {
            matches!(stored.form, StoredForm::Float8 { .. }) && stored.shape[1] >= 256
        })
    });
    let name = name.expect("a matrix of two blocks of columns");
    let stored = StoredMatrix::find(name, find).expect("a matrix");
    let [rows, columns] = stored.shape;
    let values = |part, shape| {
        let counted = Counted {
            source: &source,
            entries: entries.values().collect(),
            read: Mutex::default(),
        };
        let from = super::open(stored, part, shape, &counted).expect("it opens");
        let matrix = Matrix::read(&*from, &Compute::new(KernelSet::best(), 1, || {}), &mut |_| {});
        let values = matrix_values(&matrix.expect("a matrix"));
        drop(from);
        (values, counted.read.into_inner().expect("no panic")["weight"])
    };
    let (whole, _) = values(TensorPart::Whole, [rows, columns]);
    let own = TensorPart::Columns(128..columns);
    let (part, read) = values(own, [rows, columns - 128]);
    assert_eq!(read, rows * (columns - 128));
    let expected = whole.chunks_exact(columns as usize).flat_map(|row| &row[128..]).copied();
    assert!(part == expected.collect::<Vec<_>>());
    let (part, _) = values(TensorPart::Rows(7..rows), [rows - 7, columns]);
    assert!(part == whole[7 * columns as usize..]);
}
