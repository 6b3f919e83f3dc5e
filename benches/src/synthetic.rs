//! Models of real shapes whose blocks are made as they are loaded: no file holds them.

use std::error::Error;
use std::io;

use checkpoint::Manifest;
use checkpoint::testing::{HollowModel, RandomModel, WeightMix, write_hollow_gguf};
use clap::ValueEnum;
use engine::WeightSource;
use protocol::ids::Digest;
use protocol::model_spec::ModelSpec;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Computes in milliseconds, to try a program out.
    Tiny,
    #[value(name = "llama3.2-1b")]
    LlamaOne,
    #[value(name = "llama3.1-8b")]
    LlamaEight,
    #[value(name = "llama3.1-70b")]
    LlamaSeventy,
}

impl Shape {
    /// In Q4_K_M, or near to it.
    pub fn model(self) -> RandomModel {
        let one = RandomModel::llama_one_billion(WeightMix::q4_k_m(), 1);
        let large = RandomModel { head_dim: 128, tied: false, ..one.clone() };
        match self {
            Self::Tiny => RandomModel { layers: 4, vocab: 2048, ffn: 1024, hidden: 512, ..one },
            Self::LlamaOne => one,
            Self::LlamaEight => RandomModel { layers: 32, hidden: 4096, ffn: 14_336, ..large },
            Self::LlamaSeventy => {
                RandomModel { layers: 80, hidden: 8192, heads: 64, ffn: 28_672, ..large }
            }
        }
    }
}

pub struct Synthetic {
    pub manifest: Manifest,
    blocks: HollowModel,
}

impl Synthetic {
    /// `layers`: fewer than the shape has, where that is wanted.
    pub fn new(shape: Shape, layers: Option<u32>) -> Result<Self, Box<dyn Error>> {
        let mut model = shape.model();
        model.layers = layers.unwrap_or(model.layers);
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("shape.gguf");
        let blocks = write_hollow_gguf(&path, &model)?;
        let checkpoint = checkpoint::open(&path)?;
        let manifest = Manifest {
            name: checkpoint.name,
            spec: checkpoint.spec,
            files: Vec::new(),
            tensors: checkpoint.tensors,
            chunks: Vec::new(),
            text: Digest::of(b""),
        };
        Ok(Self { manifest, blocks })
    }

    pub fn spec(&self) -> &ModelSpec {
        &self.manifest.spec
    }

    /// Bytes that one decoded token reads.
    pub fn bytes_per_token(&self) -> u64 {
        let spec = self.spec();
        spec.layers.iter().map(|layer| layer.weight_bytes).sum::<u64>() + spec.head_bytes
    }

    /// Multiply-accumulates of one token of a prompt, the head's left out.
    pub fn macs_per_token(&self) -> u64 {
        self.spec().layers.iter().map(|layer| layer.macs_per_token).sum()
    }
}

impl WeightSource for Synthetic {
    fn read_at(&self, _: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.blocks.read_at(offset, buffer);
        Ok(())
    }
}
