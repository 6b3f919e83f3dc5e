//! Layers that all model families share; a family is a recipe over them.

mod attention;
mod embedding;
mod linear;
mod lm_head;
mod mlp;
mod pre_norm_block;
mod rms_norm;
mod rope;

pub(crate) use attention::{Attention, RowPlace, Tile, attention_scratch_floats};
pub(crate) use embedding::Embedding;
pub(crate) use linear::MatmulScratch;
pub(crate) use lm_head::{LOGIT_ROWS, LmHead};
pub(crate) use mlp::SwigluMlp;
pub(crate) use pre_norm_block::PreNormBlock;
pub(crate) use rms_norm::RmsNorm;
pub(crate) use rope::{RopeFrequencies, RopeRows};
