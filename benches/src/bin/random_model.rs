//! Writes a GGUF file of a real model's shape with random weights, for the other programs.

use std::error::Error;
use std::path::PathBuf;

use checkpoint::WeightType;
use checkpoint::testing::{RandomModel, WeightMix, write_random_gguf};
use clap::{Parser, ValueEnum};
use protocol::model_spec::Architecture;

#[derive(Parser)]
struct Arguments {
    #[arg(value_enum)]
    shape: Shape,
    #[arg(value_enum)]
    weights: Weights,
    /// File to write.
    path: PathBuf,
    /// Fewer layers than the real model has.
    #[arg(long)]
    layers: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    #[value(name = "qwen2.5-0.5b")]
    QwenHalf,
    #[value(name = "llama3.2-1b")]
    LlamaOne,
    #[value(name = "llama3.1-8b")]
    LlamaEight,
}

#[derive(Clone, Copy, ValueEnum)]
enum Weights {
    #[value(name = "q4_k_m")]
    Q4KM,
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "bf16")]
    Bf16,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let weights = match arguments.weights {
        Weights::Q4KM => WeightMix::q4_k_m(),
        // As llama.cpp's quantiser does, the embedding keeps more bits.
        Weights::Q4_0 => {
            let mix = WeightMix::uniform(WeightType::Q4_0);
            WeightMix { embedding: WeightType::Q6K, output: WeightType::Q6K, ..mix }
        }
        Weights::Q8_0 => WeightMix::uniform(WeightType::Q8_0),
        Weights::Bf16 => WeightMix::uniform(WeightType::BF16),
    };
    let mut model = match arguments.shape {
        Shape::QwenHalf => RandomModel::qwen2_half_billion(24, weights, 1),
        Shape::LlamaOne => RandomModel::llama_one_billion(weights, 1),
        Shape::LlamaEight => RandomModel {
            architecture: Architecture::Llama,
            layers: 32,
            hidden: 4096,
            head_dim: 128,
            ffn: 14_336,
            tied: false,
            ..RandomModel::llama_one_billion(weights, 1)
        },
    };
    model.layers = arguments.layers.unwrap_or(model.layers);
    write_random_gguf(&arguments.path, &model)?;
    Ok(())
}
