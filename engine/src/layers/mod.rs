//! Layers that all model families share; a family is a recipe over them.

mod activation;
mod attention;
mod cpu_parts;
mod delta_heads;
mod delta_net;
mod delta_projections;
mod embedding;
mod experts;
mod feed_forward;
mod kept_heads;
mod latent_attention;
mod linear;
mod lm_head;
mod mlp;
mod output_gate;
mod paged_attention;
mod per_layer_input;
mod residual_block;
mod rms_norm;
mod rope;
mod routing;

pub(crate) use attention::Tile;
pub(crate) use cpu_parts::CpuParts;
#[cfg(feature = "candle")]
pub(crate) use delta_net::DeltaNet;
pub(crate) use embedding::Embedding;
pub(crate) use linear::MatmulScratch;
pub(crate) use lm_head::{EachRow, LOGIT_ROWS, LmHead};
pub(crate) use paged_attention::{RowPlace, attention_scratch_floats};
pub(crate) use residual_block::Cpu;
pub(crate) use rms_norm::RmsNorm;
pub(crate) use rope::Rope;
#[cfg(feature = "candle")]
pub(crate) use routing::choose as choose_experts;
