//! Models without a file of their weights: a header, and blocks that are made as they are read.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::gguf_writer::{self, TensorPlan};
use super::random_blocks::{self, Random};
use super::{RandomModel, header, plan};

/// Of each kind of tensor, this many bytes are made; larger tensors repeat them.
const PATTERN_BYTES: u64 = 4 << 20;

/// The weights of a model whose file holds its header alone.
pub struct HollowModel {
    /// By ascending offset.
    tensors: Vec<Hollow>,
    patterns: Vec<Vec<u8>>,
}

struct Hollow {
    offset: u64,
    bytes: u64,
    pattern: usize,
}

/// Writes the header of `model` to `path`: a file that claims the length of all weights, of which
/// the file system keeps nothing.
pub fn write_hollow_gguf(path: &Path, model: &RandomModel) -> io::Result<HollowModel> {
    let (plans, mut out) = (plan(model), File::create(path)?);
    let mut end = header(model).write(&mut out, &plans)?;
    out.flush()?;
    let mut random = Random::new(model.seed);
    let (mut kinds, mut patterns, mut tensors) = (Vec::new(), Vec::new(), Vec::new());
    for tensor in &plans {
        let kind = (tensor.kind, tensor.mean.to_bits(), tensor.deviation.to_bits());
        let pattern = match kinds.iter().position(|known| *known == kind) {
            Some(pattern) => pattern,
            None => {
                kinds.push(kind);
                patterns.push(pattern_of(tensor, &mut random)?);
                patterns.len() - 1
            }
        };
        let (offset, bytes) = (gguf_writer::aligned(end), tensor.bytes());
        tensors.push(Hollow { offset, bytes, pattern });
        end = offset + bytes;
    }
    out.set_len(end)?;
    Ok(HollowModel { tensors, patterns })
}

/// Whole blocks.
fn pattern_of(tensor: &TensorPlan, random: &mut Random) -> io::Result<Vec<u8>> {
    let blocks = PATTERN_BYTES / tensor.kind.block_bytes();
    let few = TensorPlan {
        name: String::new(),
        shape: vec![blocks.max(1) * tensor.kind.block_elements()],
        ..*tensor
    };
    let mut bytes = Vec::new();
    random_blocks::write(&mut bytes, &few, random)?;
    Ok(bytes)
}

impl HollowModel {
    /// The bytes that would be at `offset` of the file; zeros between tensors.
    pub fn read_at(&self, mut offset: u64, mut buffer: &mut [u8]) {
        buffer.fill(0);
        while !buffer.is_empty() {
            let next = self.tensors.partition_point(|tensor| tensor.offset <= offset);
            let inside = next.checked_sub(1).map(|index| &self.tensors[index]);
            let inside = inside.filter(|tensor| offset < tensor.offset + tensor.bytes);
            let step = match inside {
                Some(tensor) => {
                    let pattern = &self.patterns[tensor.pattern];
                    let at = (offset - tensor.offset) as usize;
                    let rest = &pattern[at % pattern.len()..];
                    let count = rest.len().min(buffer.len()).min(tensor.bytes as usize - at);
                    buffer[..count].copy_from_slice(&rest[..count]);
                    count
                }
                None => {
                    let until = self.tensors.get(next).map_or(u64::MAX, |tensor| tensor.offset);
                    buffer.len().min(usize::try_from(until - offset).unwrap_or(usize::MAX))
                }
            };
            offset += step as u64;
            buffer = &mut buffer[step..];
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::model_spec::Architecture;

    use super::super::WeightMix;
    use super::*;
    use crate::weight_type::WeightType;

    #[test]
    fn a_hollow_file_opens_as_a_model_whose_blocks_are_valid_wherever_they_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hollow.gguf");
        let tiny = RandomModel::tiny(Architecture::Llama, WeightType::Q4K, 5);
        let model = RandomModel { weights: WeightMix::q4_k_m(), layers: 2, ..tiny };
        let hollow = write_hollow_gguf(&path, &model).expect("written");
        let checkpoint = crate::open(&path).expect("opens");
        for tensor in &checkpoint.tensors {
            let mut whole = vec![1; tensor.bytes as usize];
            hollow.read_at(tensor.offset, &mut whole);
            let (from, to) = (whole.len() / 3, whole.len() / 2);
            let mut part = vec![0; to - from];
            hollow.read_at(tensor.offset + from as u64, &mut part);
            assert_eq!(part, whole[from..to], "{}", tensor.name);
            assert!(whole.iter().any(|byte| *byte != 0), "{}", tensor.name);
        }
    }
}
