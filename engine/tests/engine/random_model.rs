//! Models of random but valid weights, made in memory in any stored type.

use checkpoint::{FileEntry, Manifest, TensorEntry, TensorPlace, WeightType};
use engine::WeightSource;
use half::{bf16, f16};
use protocol::ids::{Digest, LayerIndex};
use protocol::model_spec::{
    Architecture, AttentionSpec, LayerSpec, ModelSpec, RopeLayout, RopeScaling, RopeSpec, StateKind,
};

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

/// Shape of a small model whose every matrix can be stored in every type.
pub(crate) fn small_spec(architecture: Architecture, tied_embeddings: bool) -> ModelSpec {
    let layer = LayerSpec {
        state: StateKind::PagedKv { window: None },
        weight_bytes: 0,
        macs_per_token: 0,
    };
    ModelSpec {
        architecture,
        hidden_size: 256,
        ffn_size: 512,
        vocab_size: 300,
        context_length: 128,
        attention: AttentionSpec {
            heads: 4,
            kv_heads: 2,
            head_dim: 64,
            qkv_bias: architecture == Architecture::Qwen2,
        },
        rope: RopeSpec {
            theta: 10_000.0,
            scaling: RopeScaling::None,
            layout: RopeLayout::Interleaved,
        },
        norm_epsilon: 1e-5,
        tied_embeddings,
        layers: vec![layer; 4],
        embedding_bytes: 0,
        head_bytes: 0,
        weight_label: String::new(),
    }
}

/// Writes all tensors of `spec`: matrices as `weight`, norms and biases in f32.
pub(crate) fn random_model(mut spec: ModelSpec, weight: WeightType, seed: u64) -> RandomModel {
    let mut writer = Writer { tensors: Vec::new(), file: Vec::new(), random: Random(seed) };
    let (hidden, ffn) = (u64::from(spec.hidden_size), u64::from(spec.ffn_size));
    let dim = u64::from(spec.attention.head_dim);
    let wide = u64::from(spec.attention.heads) * dim;
    let narrow = u64::from(spec.attention.kv_heads) * dim;
    let vocabulary = u64::from(spec.vocab_size);
    spec.embedding_bytes = writer.matrix("token_embd.weight", weight, vocabulary, hidden);
    for layer in 0..spec.layers.len() {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let mut bytes = writer.vector(&name("attn_norm.weight"), hidden, 1.0);
        bytes += writer.matrix(&name("attn_q.weight"), weight, wide, hidden);
        bytes += writer.matrix(&name("attn_k.weight"), weight, narrow, hidden);
        bytes += writer.matrix(&name("attn_v.weight"), weight, narrow, hidden);
        bytes += writer.matrix(&name("attn_output.weight"), weight, hidden, wide);
        if spec.attention.qkv_bias {
            bytes += writer.vector(&name("attn_q.bias"), wide, 0.0);
            bytes += writer.vector(&name("attn_k.bias"), narrow, 0.0);
            bytes += writer.vector(&name("attn_v.bias"), narrow, 0.0);
        }
        bytes += writer.vector(&name("ffn_norm.weight"), hidden, 1.0);
        bytes += writer.matrix(&name("ffn_gate.weight"), weight, ffn, hidden);
        bytes += writer.matrix(&name("ffn_up.weight"), weight, ffn, hidden);
        bytes += writer.matrix(&name("ffn_down.weight"), weight, hidden, ffn);
        spec.layers[layer].weight_bytes = bytes;
    }
    spec.head_bytes = writer.vector("output_norm.weight", hidden, 1.0);
    spec.head_bytes += match spec.tied_embeddings {
        true => spec.embedding_bytes,
        false => writer.matrix("output.weight", weight, vocabulary, hidden),
    };
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
        let adds = name.contains("attn_output") || name.contains("ffn_down");
        let scale = if adds { 0.35 } else { 1.0 } / (columns as f32).sqrt();
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
        let layer = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next());
        let place = match layer.and_then(|layer| layer.parse().ok()) {
            Some(layer) => TensorPlace::Layer(LayerIndex(layer)),
            None if name.starts_with("token_embd") => TensorPlace::Embedding,
            None => TensorPlace::Output,
        };
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
