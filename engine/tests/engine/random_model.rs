//! Models of random but valid weights, made in memory in any stored type.

use checkpoint::shard::share_units;
use checkpoint::{
    ExpectedTensor, FileEntry, Manifest, TensorEntry, TensorPlace, WeightType, expected_tensors,
};
use engine::WeightSource;
use half::{bf16, f16};
use protocol::ids::Digest;
use protocol::model_spec::ModelSpec;

/// A manifest and its one file.
pub(crate) struct RandomModel {
    pub(crate) manifest: Manifest,
    pub(crate) file: Vec<u8>,
}

impl WeightSource for RandomModel {
    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let range = offset as usize..offset as usize + buffer.len();
        match self.file.get(range).filter(|_| file == 0) {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None => return Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }
}

/// Writes all tensors of `spec`: matrices as `weight`, norms and biases in f32.
pub(crate) fn random_model(mut spec: ModelSpec, weight: WeightType, seed: u64) -> RandomModel {
    let mut writer = Writer { tensors: Vec::new(), file: Vec::new(), random: Random(seed) };
    for ExpectedTensor { name, shape } in expected_tensors(&spec) {
        let bytes = match shape[..] {
            // Routers stay exact, as in every published file.
            [rows, columns] if name.contains("ffn_gate_inp") => {
                writer.matrix(&name, WeightType::F32, rows, columns)
            }
            [rows, columns] => writer.matrix(&name, weight, rows, columns),
            _ => {
                let is_factor = name.contains("norm") || name.contains("scale");
                writer.vector(&name, shape[0], if is_factor { 1.0 } else { 0.0 })
            }
        };
        match TensorPlace::of(&name) {
            TensorPlace::Layer(layer) => spec.layers[layer.0 as usize].weight_bytes += bytes,
            TensorPlace::Embedding => spec.embedding_bytes += bytes,
            _ => spec.head_bytes += bytes,
        }
    }
    if spec.tied_embeddings {
        spec.head_bytes += spec.embedding_bytes;
    }
    spec.share_units = share_units(&spec, &writer.tensors);
    let files = vec![FileEntry { name: "random".into(), bytes: writer.file.len() as u64 }];
    let manifest = Manifest {
        name: "random".into(),
        spec,
        files,
        tensors: writer.tensors,
        chunks: Vec::new(),
        text: Digest::of(b""),
    };
    RandomModel { manifest, file: writer.file }
}

struct Writer {
    tensors: Vec<TensorEntry>,
    file: Vec<u8>,
    random: Random,
}

impl Writer {
    fn matrix(&mut self, name: &str, weight: WeightType, rows: u64, columns: u64) -> u64 {
        let start = self.file.len();
        // What is added to the residual is smaller, by the number of additions (GPT-2's rule).
        let adds = ["attn_output", "ssm_out", "ffn_down"].iter().any(|part| name.contains(part));
        let gain = match () {
            _ if adds => 0.35,
            // The residual stream begins as wide as what the layers add to it.
            _ if name.starts_with("token_embd") => 8.0,
            _ => 1.0,
        };
        let scale = gain / (columns as f32).sqrt();
        for _ in 0..rows * columns / weight.block_elements() {
            self.block(weight, scale);
        }
        self.entry(name, weight, vec![rows, columns], start)
    }

    fn vector(&mut self, name: &str, length: u64, centre: f32) -> u64 {
        let start = self.file.len();
        for _ in 0..length {
            let value = centre + 0.1 * self.random.signed();
            self.file.extend(value.to_le_bytes());
        }
        self.entry(name, WeightType::F32, vec![length], start)
    }

    fn entry(&mut self, name: &str, weight_type: WeightType, shape: Vec<u64>, start: usize) -> u64 {
        let bytes = (self.file.len() - start) as u64;
        let place = TensorPlace::of(name);
        let (name, offset) = (name.to_owned(), start as u64);
        self.tensors.push(TensorEntry { name, place, weight_type, shape, file: 0, offset, bytes });
        bytes
    }

    /// One block of random codes whose values have a deviation of about `scale`.
    fn block(&mut self, weight: WeightType, scale: f32) {
        match weight {
            WeightType::F32 => {
                let value = 1.7 * scale * self.random.signed();
                self.file.extend(value.to_le_bytes());
            }
            WeightType::F16 => {
                let value = f16::from_f32(1.7 * scale * self.random.signed());
                self.file.extend(value.to_le_bytes());
            }
            WeightType::BF16 => {
                let value = bf16::from_f32(1.7 * scale * self.random.signed());
                self.file.extend(value.to_le_bytes());
            }
            // f16 scales at these offsets, each with its share of `scale`.
            WeightType::Q8_0 => self.scaled(weight, &[(0, scale / 74.0)]),
            WeightType::Q4_0 => self.scaled(weight, &[(0, scale / 4.6)]),
            WeightType::Q4_1 => self.scaled(weight, &[(0, scale / 4.6), (2, -scale * 7.5 / 4.6)]),
            WeightType::Int4x32 | WeightType::Int4x64 | WeightType::Int4x128 => {
                let start = self.file.len();
                self.scaled(weight, &[(0, scale / 4.6)]);
                self.file[start + 2] = 5 + self.file[start + 2] % 6;
            }
            WeightType::Q5_0 => self.scaled(weight, &[(0, scale / 9.2)]),
            WeightType::Q5_1 => self.scaled(weight, &[(0, scale / 9.2), (2, -scale * 15.5 / 9.2)]),
            WeightType::Q2K => self.scaled(weight, &[(80, scale / 14.0), (82, scale * 1.5 / 14.0)]),
            WeightType::Q3K => self.scaled(weight, &[(108, scale / 43.0)]),
            WeightType::Q4K => self.scaled(weight, &[(0, scale / 257.0), (2, scale * 7.5 / 257.0)]),
            WeightType::Q5K => {
                self.scaled(weight, &[(0, scale / 528.0), (2, scale * 15.5 / 528.0)])
            }
            WeightType::Q6K => self.scaled(weight, &[(208, scale / 1370.0)]),
            WeightType::Iq4Nl => self.scaled(weight, &[(0, scale / 67.0)]),
            WeightType::Iq4Xs => self.scaled(weight, &[(0, scale / 1250.0)]),
            WeightType::U8 | WeightType::F8E4M3 | WeightType::I32 => panic!("no matrix"),
            WeightType::F8x128 => {
                let start = self.file.len();
                self.scaled(weight, &[]);
                // Codes below 64 in magnitude: numbers of up to two.
                self.file[start..].iter_mut().for_each(|code| *code &= 0xbf);
                self.file[start..start + 4].copy_from_slice(&(scale / 0.52).to_le_bytes());
            }
            WeightType::Mxfp4 => {
                let start = self.file.len();
                self.scaled(weight, &[]);
                self.file[start] = (128.5 + (scale / 5.9).log2()) as u8;
            }
        }
    }

    fn scaled(&mut self, weight: WeightType, scales: &[(usize, f32)]) {
        let start = self.file.len();
        self.codes(weight.block_bytes() as usize);
        for (offset, scale) in scales {
            let place = start + offset;
            self.file[place..place + 2].copy_from_slice(&f16::from_f32(*scale).to_le_bytes());
        }
    }

    fn codes(&mut self, count: usize) {
        for _ in 0..count {
            let byte = self.random.next() as u8;
            self.file.push(byte);
        }
    }
}

/// splitmix64
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        (self.next() % u64::from(limit)) as u32
    }

    /// In [-1, 1).
    fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}
