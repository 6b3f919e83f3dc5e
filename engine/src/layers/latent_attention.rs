//! Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): all heads read one vector per
//! position.
//!
//! Instead of making keys and values of the stored vectors, each query head is carried over to
//! them and its result carried back. Prefill and decode do the same, so that their bits agree.

use std::sync::Arc;

use protocol::model_spec::{LatentSpec, ModelSpec};

use super::attention::Tile;
use super::linear::Linear;
use super::paged_attention::PagedAttention;
use super::rms_norm::RmsNorm;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::state::KvPool;
use crate::weights::{Matrix, Tensors};
use crate::workspace::TileRows;

pub(crate) struct LatentAttention {
    query: Query,
    /// To the shared vector and the rotated part of all heads' keys.
    squeeze: Linear,
    squeeze_norm: RmsNorm,
    /// Per head.
    to_latent: Vec<ToLatent>,
    to_value: Vec<Linear>,
    output: Linear,
    heads: PagedAttention,
    sizes: LatentSpec,
}

enum Query {
    Direct(Linear),
    Squeezed { down: Linear, norm: RmsNorm, up: Linear },
}

/// How a head's plain part meets the shared vector.
enum ToLatent {
    /// `[rank, plain]`
    Product(Linear),
    /// `[plain, rank]`, as keys are made: its rows are added up.
    Rows(Arc<Matrix>),
}

impl LatentAttention {
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        prefix: &str,
        spec: &ModelSpec,
        sizes: LatentSpec,
    ) -> Result<Self, EngineError> {
        let (hidden, heads) = (spec.hidden_size as usize, spec.attention.heads as usize);
        let (rank, value) = (sizes.rank as usize, sizes.value_dim as usize);
        let (plain, rotated) = (sizes.plain_dim as usize, sizes.rope_dim as usize);
        let name = |part: &str| format!("{prefix}attn_{part}");
        let width = heads * (plain + rotated);
        let query = match sizes.query_rank as usize {
            0 => Query::Direct(Linear::load(tensors, &name("q"), width, hidden, false)?),
            narrow => Query::Squeezed {
                down: Linear::load(tensors, &name("q_a"), narrow, hidden, false)?,
                norm: RmsNorm::load(tensors, &name("q_a_norm.weight"), narrow, spec)?,
                up: Linear::load(tensors, &name("q_b"), width, narrow, false)?,
            },
        };
        let (mut to_latent, mut to_value) = (Vec::new(), Vec::new());
        let first = tensors.first_head();
        for head in first..first + heads {
            let keys = name(&format!("k_b.{head}"));
            to_latent.push(if sizes.split_keys {
                ToLatent::Product(Linear::load(tensors, &keys, rank, plain, false)?)
            } else {
                let rows = tensors.matrix(&format!("{keys}.weight"), plain, rank)?;
                ToLatent::Rows(Arc::new(rows))
            });
            let values = name(&format!("v_b.{head}"));
            to_value.push(Linear::load(tensors, &values, value, rank, false)?);
        }
        Ok(Self {
            query,
            squeeze: Linear::load(tensors, &name("kv_a_mqa"), rank + rotated, hidden, false)?,
            squeeze_norm: RmsNorm::load(tensors, &name("kv_a_norm.weight"), rank, spec)?,
            to_latent,
            to_value,
            output: Linear::load(tensors, &name("output"), hidden, heads * value, false)?,
            heads: PagedAttention {
                heads,
                kv_heads: 1,
                dim: rank + rotated,
                scale: spec.attention.score_scale(),
                soft_cap: None,
                window: None,
                sinks: None,
            },
            sizes,
        })
    }

    /// Reads `space.normed`, leaves the result in `space.output`; `layer` counts the stage's own.
    pub(crate) fn forward(
        &self,
        tile: &Tile<'_>,
        layer: usize,
        pool: &mut KvPool,
        space: &mut TileRows<'_>,
    ) {
        if self.heads.heads == 0 {
            return space.output.fill(0.0);
        }
        let rows = tile.rows.len();
        let (rank, plain) = (self.sizes.rank as usize, self.sizes.plain_dim as usize);
        let (rotated, rope) = (self.sizes.rope_dim as usize, &tile.ropes[0]);
        let (head_dim, width) = (plain + rotated, rank + rotated);
        let query_width = self.heads.heads * head_dim;
        match &self.query {
            Query::Direct(linear) => {
                linear.forward(space.normed, &mut space.query[..rows * query_width], space.matmul);
            }
            Query::Squeezed { down, norm, up } => {
                let narrow = rows * self.sizes.query_rank as usize;
                let squeezed = &mut space.gathered[..narrow];
                down.forward(space.normed, squeezed, space.matmul);
                norm.normalise(squeezed);
                up.forward(squeezed, &mut space.query[..rows * query_width], space.matmul);
            }
        }
        let keys = &mut space.key[..rows * width];
        self.squeeze.forward(space.normed, keys, space.matmul);
        for (i, (place, key)) in tile.rows.iter().zip(keys.chunks_exact_mut(width)).enumerate() {
            self.squeeze_norm.normalise(&mut key[..rank]);
            rope.rotate(&mut key[rank..], rotated, tile.first + i);
            pool.store(layer, *place, key, &[]);
            let query = &mut space.query[i * query_width..(i + 1) * query_width];
            for head in query.chunks_exact_mut(head_dim) {
                rope.rotate(&mut head[plain..], rotated, tile.first + i);
            }
        }
        self.carry_over(rows, space);
        let (kv, compute) = ((&*pool, layer), space.matmul.compute());
        self.heads.forward(compute, tile.rows, kv, space.latent, space.attended);
        self.carry_back(rows, space);
        let value_width = self.heads.heads * self.sizes.value_dim as usize;
        self.output.forward(&space.query[..rows * value_width], space.output, space.matmul);
    }

    /// `space.query` (`[rows, heads, plain + rotated]`) to `space.latent`
    /// (`[rows, heads, rank + rotated]`).
    fn carry_over(&self, rows: usize, space: &mut TileRows<'_>) {
        let (rank, plain) = (self.sizes.rank as usize, self.sizes.plain_dim as usize);
        let rotated = self.sizes.rope_dim as usize;
        let (head_dim, width) = (plain + rotated, rank + rotated);
        let heads = self.heads.heads;
        let produced = &mut space.produced[..rows * rank];
        for (head, to_latent) in self.to_latent.iter().enumerate() {
            let from = |row: usize| (row * heads + head) * head_dim;
            match to_latent {
                ToLatent::Product(linear) => {
                    let gathered = &mut space.gathered[..rows * plain];
                    for (row, out) in gathered.chunks_exact_mut(plain).enumerate() {
                        out.copy_from_slice(&space.query[from(row)..from(row) + plain]);
                    }
                    linear.forward(gathered, produced, space.matmul);
                }
                ToLatent::Rows(matrix) => {
                    let wide = &mut space.gathered[..rank];
                    produced.fill(0.0);
                    for index in 0..plain {
                        matrix.row_to_f32(index, wide);
                        for (row, out) in produced.chunks_exact_mut(rank).enumerate() {
                            let weight = &space.query[from(row) + index..][..1];
                            cpu::weighted_sum(wide, weight, out);
                        }
                    }
                }
            }
            for (row, produced) in produced.chunks_exact(rank).enumerate() {
                let latent = &mut space.latent[(row * heads + head) * width..][..width];
                latent[..rank].copy_from_slice(produced);
                latent[rank..].copy_from_slice(&space.query[from(row) + plain..][..rotated]);
            }
        }
    }

    /// `space.attended` (`[rows, heads, rank + rotated]`) to `space.query`
    /// (`[rows, heads, value]`).
    fn carry_back(&self, rows: usize, space: &mut TileRows<'_>) {
        let (rank, value) = (self.sizes.rank as usize, self.sizes.value_dim as usize);
        let (heads, width) = (self.heads.heads, self.heads.dim);
        for (head, to_value) in self.to_value.iter().enumerate() {
            let gathered = &mut space.gathered[..rows * rank];
            for (row, out) in gathered.chunks_exact_mut(rank).enumerate() {
                out.copy_from_slice(&space.attended[(row * heads + head) * width..][..rank]);
            }
            let produced = &mut space.produced[..rows * value];
            to_value.forward(gathered, produced, space.matmul);
            for (row, produced) in produced.chunks_exact(value).enumerate() {
                let out = &mut space.query[(row * heads + head) * value..][..value];
                out.copy_from_slice(produced);
            }
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        let query = match &self.query {
            Query::Direct(linear) => linear.bytes(),
            Query::Squeezed { down, norm, up } => down.bytes() + norm.bytes() + up.bytes(),
        };
        let to_latent = self.to_latent.iter().map(|to_latent| match to_latent {
            ToLatent::Product(linear) => linear.bytes(),
            ToLatent::Rows(matrix) => matrix.bytes(),
        });
        let to_value = self.to_value.iter().map(Linear::bytes);
        let squeeze = self.squeeze.bytes() + self.squeeze_norm.bytes();
        query + squeeze + to_latent.chain(to_value).sum::<u64>() + self.output.bytes()
    }
}
