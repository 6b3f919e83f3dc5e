//! Writes the header of a GGUF v3 file.

use std::io::{self, Write};

use crate::weight_type::WeightType;

const ALIGNMENT: u64 = 32;

/// One tensor to come: what it is, and how its random values are spread.
pub(super) struct TensorPlan {
    pub(super) name: String,
    /// Rows first.
    pub(super) shape: Vec<u64>,
    pub(super) kind: WeightType,
    pub(super) mean: f32,
    pub(super) deviation: f32,
}

impl TensorPlan {
    pub(super) fn matrix(name: String, shape: [u64; 2], kind: WeightType, deviation: f32) -> Self {
        let fits = |kind: WeightType| shape[1].is_multiple_of(kind.block_elements());
        let smaller = match kind {
            WeightType::Q2K | WeightType::Q3K => WeightType::Q4_0,
            WeightType::Iq4Xs => WeightType::Iq4Nl,
            WeightType::Q4K => WeightType::Q5_0,
            WeightType::Q5K => WeightType::Q5_1,
            _ => WeightType::Q8_0,
        };
        let kind = [kind, smaller, WeightType::F16].into_iter().find(|kind| fits(*kind));
        let kind = kind.unwrap_or(WeightType::F16);
        Self { name, shape: shape.to_vec(), kind, mean: 0.0, deviation }
    }

    /// A norm (mean 1) or a bias (mean 0), in F32 as every converter stores them.
    pub(super) fn vector(name: String, length: u64, mean: f32) -> Self {
        Self { name, shape: vec![length], kind: WeightType::F32, mean, deviation: 0.05 }
    }

    pub(super) fn blocks(&self) -> u64 {
        self.shape.iter().product::<u64>() / self.kind.block_elements()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.blocks() * self.kind.block_bytes()
    }
}

/// Collects metadata fields, then writes them with the tensor table.
#[derive(Default)]
pub(super) struct GgufWriter {
    fields: Vec<u8>,
    count: u64,
}

impl GgufWriter {
    pub(super) fn u32(&mut self, key: &str, value: u32) {
        self.key(key, 4);
        self.fields.extend(value.to_le_bytes());
    }

    pub(super) fn f32(&mut self, key: &str, value: f32) {
        self.key(key, 6);
        self.fields.extend(value.to_le_bytes());
    }

    pub(super) fn bool(&mut self, key: &str, value: bool) {
        self.key(key, 7);
        self.fields.push(value.into());
    }

    pub(super) fn string(&mut self, key: &str, value: &str) {
        self.key(key, 8);
        put_string(&mut self.fields, value);
    }

    pub(super) fn strings(&mut self, key: &str, values: &[String]) {
        self.array(key, 8, values.len());
        for value in values {
            put_string(&mut self.fields, value);
        }
    }

    pub(super) fn integers(&mut self, key: &str, values: &[i32]) {
        self.array(key, 5, values.len());
        self.fields.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    /// Writes everything before the weights and returns its length in bytes.
    pub(super) fn write(&self, out: &mut impl Write, tensors: &[TensorPlan]) -> io::Result<u64> {
        let mut header = b"GGUF".to_vec();
        header.extend(3_u32.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend(self.count.to_le_bytes());
        header.extend(&self.fields);
        let mut offset = 0_u64;
        for tensor in tensors {
            put_string(&mut header, &tensor.name);
            header.extend((tensor.shape.len() as u32).to_le_bytes());
            header.extend(tensor.shape.iter().rev().flat_map(|size| size.to_le_bytes()));
            let number = tensor.kind.ggml_number().ok_or_else(|| {
                let text = format!("GGUF has no type {}", tensor.kind);
                io::Error::new(io::ErrorKind::InvalidInput, text)
            })?;
            header.extend(number.to_le_bytes());
            header.extend(offset.to_le_bytes());
            offset = (offset + tensor.bytes()).next_multiple_of(ALIGNMENT);
        }
        out.write_all(&header)?;
        Ok(header.len() as u64)
    }

    fn key(&mut self, key: &str, kind: u32) {
        put_string(&mut self.fields, key);
        self.fields.extend(kind.to_le_bytes());
        self.count += 1;
    }

    fn array(&mut self, key: &str, kind: u32, length: usize) {
        self.key(key, 9);
        self.fields.extend(kind.to_le_bytes());
        self.fields.extend((length as u64).to_le_bytes());
    }
}

/// Where the next tensor begins at the earliest.
pub(super) fn aligned(written: u64) -> u64 {
    written.next_multiple_of(ALIGNMENT)
}

/// Zeroes up to the next aligned offset; returns how many.
pub(super) fn pad(out: &mut impl Write, written: u64) -> io::Result<u64> {
    let missing = aligned(written) - written;
    out.write_all(&[0; ALIGNMENT as usize][..missing as usize])?;
    Ok(missing)
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
