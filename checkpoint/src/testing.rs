//! Writes random but valid model files of any size, for tests: nothing is downloaded or kept.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use protocol::model_spec::Architecture;

use crate::weight_type::WeightType;

mod gguf_writer;
mod hollow;
mod random_blocks;
mod tiny_vocabulary;

use gguf_writer::{GgufWriter, TensorPlan};
pub use hollow::{HollowModel, write_hollow_gguf};
use random_blocks::Random;

/// The shape of a model whose weights are random.
#[derive(Clone, Debug)]
pub struct RandomModel {
    pub architecture: Architecture,
    pub layers: u32,
    pub hidden: u32,
    pub heads: u32,
    pub kv_heads: u32,
    pub head_dim: u32,
    pub ffn: u32,
    /// At least 272; entries beyond the byte-level alphabet are made-up words.
    pub vocab: u32,
    pub context: u32,
    pub tied: bool,
    pub weights: WeightMix,
    pub seed: u64,
}

/// The storage type of each kind of matrix. A type whose blocks do not fit a row is replaced as
/// llama.cpp does: Q4_K by Q5_0, Q6_K by Q8_0, and F16 where no block of 32 fits either.
#[derive(Clone, Copy, Debug)]
pub struct WeightMix {
    pub embedding: WeightType,
    /// q, k and output of the attention; gate and up of the MLP.
    pub most: WeightType,
    /// v of the attention and down of the MLP, which suffer most from rounding.
    pub sensitive: WeightType,
    pub output: WeightType,
}

impl WeightMix {
    pub fn uniform(kind: WeightType) -> Self {
        Self { embedding: kind, most: kind, sensitive: kind, output: kind }
    }

    /// Near to what llama.cpp calls Q4_K_M.
    pub fn q4_k_m() -> Self {
        Self {
            embedding: WeightType::Q6K,
            most: WeightType::Q4K,
            sensitive: WeightType::Q6K,
            output: WeightType::Q6K,
        }
    }
}

impl RandomModel {
    /// A model that computes in milliseconds; every type's blocks fit its rows.
    pub fn tiny(architecture: Architecture, kind: WeightType, seed: u64) -> Self {
        Self {
            architecture,
            layers: 4,
            hidden: 256,
            heads: 8,
            kv_heads: 2,
            head_dim: 32,
            ffn: 512,
            vocab: 512,
            context: 2048,
            tied: false,
            weights: WeightMix::uniform(kind),
            seed,
        }
    }

    /// Qwen2.5-0.5B with fewer layers; the whole model has 24.
    pub fn qwen2_half_billion(layers: u32, weights: WeightMix, seed: u64) -> Self {
        Self {
            architecture: Architecture::Qwen2,
            layers,
            hidden: 896,
            heads: 14,
            kv_heads: 2,
            head_dim: 64,
            ffn: 4864,
            vocab: 151_936,
            context: 32_768,
            tied: true,
            weights,
            seed,
        }
    }

    /// Llama-3.2-1B: 16 layers, about 0.8 GB in Q4_K_M.
    pub fn llama_one_billion(weights: WeightMix, seed: u64) -> Self {
        Self {
            architecture: Architecture::Llama,
            layers: 16,
            hidden: 2048,
            heads: 32,
            kv_heads: 8,
            head_dim: 64,
            ffn: 8192,
            vocab: 128_256,
            context: 131_072,
            tied: true,
            weights,
            seed,
        }
    }
}

/// Writes `model` to `path` as GGUF, streaming: memory stays at a few hundred kilobytes.
///
/// Scales are chosen so that activations stay near 1 over any number of layers.
pub fn write_random_gguf(path: &Path, model: &RandomModel) -> io::Result<()> {
    let tensors = plan(model);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut written = header(model).write(&mut out, &tensors)?;
    let mut random = Random::new(model.seed);
    for tensor in &tensors {
        written += gguf_writer::pad(&mut out, written)?;
        written += random_blocks::write(&mut out, tensor, &mut random)?;
    }
    out.flush()
}

fn header(model: &RandomModel) -> GgufWriter {
    let mut header = GgufWriter::default();
    describe(&mut header, model);
    tiny_vocabulary::describe(&mut header, model);
    header
}

fn describe(header: &mut GgufWriter, model: &RandomModel) {
    let family = model.architecture.name();
    header.string("general.architecture", family);
    header.string("general.name", &format!("random-{family}-{}", model.seed));
    let numbers = [
        ("context_length", model.context),
        ("embedding_length", model.hidden),
        ("block_count", model.layers),
        ("feed_forward_length", model.ffn),
        ("attention.head_count", model.heads),
        ("attention.head_count_kv", model.kv_heads),
        ("attention.key_length", model.head_dim),
        ("attention.value_length", model.head_dim),
        ("rope.dimension_count", model.head_dim),
        ("vocab_size", model.vocab),
    ];
    for (field, value) in numbers {
        header.u32(&format!("{family}.{field}"), value);
    }
    header.f32(&format!("{family}.attention.layer_norm_rms_epsilon"), 1e-5);
    header.f32(&format!("{family}.rope.freq_base"), 500_000.0);
}

fn plan(model: &RandomModel) -> Vec<TensorPlan> {
    let (hidden, vocab) = (u64::from(model.hidden), u64::from(model.vocab));
    // Logits get a standard deviation of 2.5, so that greedy choices have a margin.
    let head_deviation = 2.5 / (hidden as f32).sqrt();
    let mix = model.weights;
    let mut all = vec![TensorPlan::matrix(
        "token_embd.weight".to_owned(),
        [vocab, hidden],
        mix.embedding,
        head_deviation,
    )];
    for layer in 0..model.layers {
        all.extend(layer_plan(model, layer));
    }
    all.push(TensorPlan::vector("output_norm.weight".to_owned(), hidden, 1.0));
    if !model.tied {
        let name = "output.weight".to_owned();
        all.push(TensorPlan::matrix(name, [vocab, hidden], mix.output, head_deviation));
    }
    all
}

fn layer_plan(model: &RandomModel, layer: u32) -> Vec<TensorPlan> {
    let (hidden, ffn) = (u64::from(model.hidden), u64::from(model.ffn));
    let q = u64::from(model.heads * model.head_dim);
    let kv = u64::from(model.kv_heads * model.head_dim);
    let mix = model.weights;
    let name = |part: &str| format!("blk.{layer}.{part}");
    // What is added to the residual is made smaller by the number of additions (GPT-2's rule).
    let residual = 1.0 / (2.0 * model.layers as f32).sqrt();
    let matrix = |part: &str, rows: u64, columns: u64, kind: WeightType, gain: f32| {
        TensorPlan::matrix(name(part), [rows, columns], kind, gain / (columns as f32).sqrt())
    };
    let mut all = vec![
        TensorPlan::vector(name("attn_norm.weight"), hidden, 1.0),
        matrix("attn_q.weight", q, hidden, mix.most, 1.0),
        matrix("attn_k.weight", kv, hidden, mix.most, 1.0),
        matrix("attn_v.weight", kv, hidden, mix.sensitive, 1.0),
        matrix("attn_output.weight", hidden, q, mix.most, residual),
        TensorPlan::vector(name("ffn_norm.weight"), hidden, 1.0),
        matrix("ffn_gate.weight", ffn, hidden, mix.most, 1.0),
        matrix("ffn_up.weight", ffn, hidden, mix.most, 1.0),
        matrix("ffn_down.weight", hidden, ffn, mix.sensitive, residual),
    ];
    if model.architecture == Architecture::Qwen2 {
        all.push(TensorPlan::vector(name("attn_q.bias"), q, 0.0));
        all.push(TensorPlan::vector(name("attn_k.bias"), kv, 0.0));
        all.push(TensorPlan::vector(name("attn_v.bias"), kv, 0.0));
    }
    all
}
