//! Attention by the kernels: spans of positions on their own, then a row's spans together.

use candle_core::{DType, Tensor};

use super::DeviceResult;
use super::pages::Pages;
use super::scores::PagedAttention;
use super::step::Step;
use super::tiles::{QUERIES, SPAN, Tile};
use crate::kernels::cuda::{Argument, Kernel, space};

/// Of what the spans of one launch yield: it bounds the rows of a launch. Little in tests, so that
/// they take several.
pub(super) const PARTIAL_BYTES: usize = if cfg!(test) { 1 << 18 } else { 64 << 20 };

/// `query` is `[rows, heads, key dim]`, the result `[rows, heads, value dim]`.
pub(super) fn attend(
    heads: &PagedAttention,
    step: &Step,
    pages: &Pages,
    query: &Tensor,
) -> DeviceResult {
    let query = query.contiguous()?;
    let shape = [step.rows, heads.heads, heads.value_dim];
    let out = space(&shape, DType::F32, &heads.target.device)?;
    let head_tile = (heads.heads / heads.kv_heads).min(QUERIES);
    let tiles = step.tiles(QUERIES / head_tile)?;
    let mut first = 0;
    while first < tiles.list.len() {
        let count = together(heads, &tiles.list[first..]);
        let some = &tiles.list[first..first + count];
        let words = tiles.tensor.narrow(0, first, count)?;
        launch(heads, step, (some, &words), (pages, &query), head_tile, &out)?;
        first += count;
    }
    Ok(out)
}

/// Tiles of one launch: as many as their results have room.
fn together(heads: &PagedAttention, tiles: &[Tile]) -> usize {
    let span = 4 * heads.heads * (heads.value_dim + 2);
    let (mut rows, mut spans) = (0, 0);
    let fits = |tile: &&Tile| {
        rows += tile.rows;
        spans = tile.spans(heads.window).max(spans);
        rows * spans * span <= PARTIAL_BYTES
    };
    tiles.iter().take_while(fits).count().max(1)
}

fn launch(
    heads: &PagedAttention,
    step: &Step,
    (tiles, words): (&[Tile], &Tensor),
    (pages, query): (&Pages, &Tensor),
    head_tile: usize,
    out: &Tensor,
) -> candle_core::Result<()> {
    let (target, value_dim) = (&heads.target, heads.value_dim);
    let first_row = tiles.first().map_or(0, |tile| tile.first_row);
    let rows: usize = tiles.iter().map(|tile| tile.rows).sum();
    let spans = tiles.iter().map(|tile| tile.spans(heads.window)).max().unwrap_or(0);
    let group_tiles = (heads.heads / heads.kv_heads).div_ceil(head_tile);
    let window = heads.window.map_or(0, |window| window as usize);
    let (keys, values) = (pages.keys()?, pages.values());
    let partial = [rows, heads.heads, spans, value_dim + 2];
    let partial = space(&partial, DType::F32, &target.device)?;
    let arguments = [
        Argument::In(query),
        Argument::In(&keys.rows),
        values.map_or(Argument::Null, |values| Argument::In(&values.rows)),
        Argument::In(&step.tables),
        Argument::In(words),
        Argument::Out,
        Argument::Int(heads.heads),
        Argument::Int(heads.kv_heads),
        Argument::Int(head_tile),
        Argument::Int(query.dim(2)?),
        Argument::Int(value_dim),
        Argument::Int(keys.width),
        Argument::Int(values.unwrap_or(keys).width),
        Argument::Int(step.tables.dim(1)?),
        Argument::Int(pages.block_size as usize),
        Argument::Int(window),
        Argument::Int(first_row),
        Argument::Float(heads.scale),
        Argument::Float(heads.soft_cap.unwrap_or(0.0)),
    ];
    let grid = [tiles.len(), heads.kv_heads * group_tiles, spans];
    target.launch(keys.attend_kernel(), grid, SPAN, &arguments, &partial)?;
    let positions = step.positions.narrow(0, first_row, rows)?;
    let arguments = [
        Argument::In(&partial),
        Argument::In(&positions),
        heads.sinks.as_ref().map_or(Argument::Null, Argument::In),
        Argument::Out,
        Argument::Int(spans),
        Argument::Int(value_dim),
        Argument::Int(window),
    ];
    let (grid, threads) = ([rows, heads.heads, 1], value_dim.next_multiple_of(32).min(SPAN));
    let out = out.narrow(0, first_row, rows)?;
    target.launch(Kernel::MergeSpans, grid, threads, &arguments, &out)
}
