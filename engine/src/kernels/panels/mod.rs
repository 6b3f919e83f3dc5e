//! Products with weights of every stored type, from panels of 16 weight rows.
//!
//! A type (`formats`) says how its blocks lie in a panel and how its codes come out of it; four
//! schemes of arithmetic say what is summed in which order; `lanes` are the instructions. Each
//! output has one order of accumulation: exact integers, joined by one fused multiply-add per
//! block with ascending columns. It is the same for any number of rows and in every kernel set.

mod block_scheme;
mod dispatch;
mod float_scheme;
mod formats;
mod input;
mod k_scheme;
mod packed;
mod panel_type;
mod product;
mod rows_side_by_side;
mod scaled_float_scheme;
#[cfg(target_arch = "x86_64")]
mod tile_product;
#[cfg(target_arch = "x86_64")]
mod tiles;

#[cfg(test)]
mod tests;

pub(crate) use packed::PanelMemory;
pub use packed::{PackedMatrix, pack_panels};
pub(crate) use panel_type::PANEL_ROWS;
pub use product::{InputSpace, Product, multiply};
#[cfg(target_arch = "x86_64")]
pub(super) use tiles::are_available as tiles_are_available;
