//! How a matrix lies in a model's files: as rows of blocks in one tensor, or in parts.
//!
//! The reader of files and the engine ask here which tensors hold the matrix of a canonical name,
//! and whether these fit each other.

use crate::tensor::TensorEntry;
use crate::weight_type::WeightType;

mod error;
mod int4;

pub use error::StorageError;
pub use int4::{Int4Layout, Int4Parts};

/// Where the values of a matrix are.
#[derive(Clone, Copy, Debug)]
pub struct StoredMatrix<'a> {
    /// Rows first.
    pub shape: [u64; 2],
    pub form: StoredForm<'a>,
}

/// The tensors of a matrix.
#[derive(Clone, Copy, Debug)]
pub enum StoredForm<'a> {
    /// `name.weight`: rows of whole blocks.
    Plain(&'a TensorEntry),
    /// `name.mxfp4_blocks` (`[rows, columns / 32, 16]`, two codes a byte, the even column low) and
    /// `name.mxfp4_scales` (`[rows, columns / 32]`, powers of two), as gpt-oss is published.
    Mxfp4 { codes: &'a TensorEntry, scales: &'a TensorEntry, rows: RowView },
    /// `name.weight` in E4M3 and `name.scales`, which its numbers are multiplied by.
    Float8 { codes: &'a TensorEntry, scales: &'a TensorEntry, per: Float8Scales },
    /// GPTQ and AWQ.
    Int4(Int4Parts<'a>),
}

/// What one of the scales of 8-bit floats belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float8Scales {
    /// 128 rows and 128 columns: `[rows / 128, columns / 128]`, rounded up (DeepSeek-V3).
    Blocks,
    /// A row: `[rows, 1]`.
    Rows,
    /// All: `[1]`, or no dimension.
    Matrix,
}

/// Where a vector is.
#[derive(Clone, Copy, Debug)]
pub struct StoredVector<'a> {
    pub entry: &'a TensorEntry,
    pub elements: RowView,
}

/// Which rows of a stored tensor are meant: `first`, and every `step`th from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowView {
    pub first: u64,
    pub step: u64,
}

impl RowView {
    pub const ALL: Self = Self { first: 0, step: 1 };
}

impl<'a> StoredMatrix<'a> {
    /// Finds the matrix called `name` (`blk.0.attn_q.weight`) among the tensors that `find` knows.
    pub fn find(
        name: &str,
        find: impl Fn(&str) -> Option<&'a TensorEntry>,
    ) -> Result<Self, StorageError> {
        if let Some(entry) = find(name) {
            let [rows, columns] = entry.shape[..] else {
                return Err(StorageError::not_a_matrix(entry));
            };
            if entry.weight_type == WeightType::F8E4M3 {
                let stem = name.strip_suffix(".weight").unwrap_or(name);
                let scales = need(&format!("{stem}.scales"), &find)?;
                check_columns(entry, columns, FLOAT8_BLOCK)?;
                let per = float8_scales(scales, [rows, columns])?;
                let form = StoredForm::Float8 { codes: entry, scales, per };
                return Ok(Self { shape: [rows, columns], form });
            }
            check_type(entry, |kind| !kind.is_part())?;
            return Ok(Self { shape: [rows, columns], form: StoredForm::Plain(entry) });
        }
        let missing = || StorageError::Missing { tensor: name.to_owned() };
        let stem = name.strip_suffix(".weight").ok_or_else(missing)?;
        if let Some(parts) = Int4Parts::find(stem, &find)? {
            let (parts, shape) = parts.checked()?;
            return Ok(Self { shape, form: StoredForm::Int4(parts) });
        }
        let own = (stem.to_owned(), RowView::ALL);
        for (stem, view) in [own].into_iter().chain(in_turn(stem)) {
            if let Some(codes) = find(&format!("{stem}.mxfp4_blocks")) {
                let scales = need(&format!("{stem}.mxfp4_scales"), &find)?;
                return Self::mxfp4(codes, scales, view);
            }
        }
        Err(missing())
    }

    fn mxfp4(
        codes: &'a TensorEntry,
        scales: &'a TensorEntry,
        rows: RowView,
    ) -> Result<Self, StorageError> {
        check_type(codes, |kind| kind == WeightType::U8)?;
        check_type(scales, |kind| kind == WeightType::U8)?;
        let [all_rows, blocks, MXFP4_BYTES] = codes.shape[..] else {
            return Err(StorageError::not_a_matrix(codes));
        };
        check_shape(scales, &[all_rows, blocks])?;
        let columns = blocks.checked_mul(2 * MXFP4_BYTES);
        let columns = columns.ok_or_else(|| StorageError::not_a_matrix(codes))?;
        let form = StoredForm::Mxfp4 { codes, scales, rows };
        Ok(Self { shape: [all_rows / rows.step, columns], form })
    }

    /// The type of the blocks that it is packed from.
    pub fn packed_type(&self) -> WeightType {
        match self.form {
            StoredForm::Plain(entry) => entry.weight_type,
            StoredForm::Mxfp4 { .. } => WeightType::Mxfp4,
            StoredForm::Float8 { .. } => WeightType::F8x128,
            StoredForm::Int4(parts) => parts.blocks(),
        }
    }

    /// The tensors that hold it, a shared one for each matrix that is in it.
    pub fn entries(&self) -> impl Iterator<Item = &'a TensorEntry> + use<'a> {
        let all = match self.form {
            StoredForm::Plain(entry) => [Some(entry), None, None, None],
            StoredForm::Mxfp4 { codes, scales, .. } | StoredForm::Float8 { codes, scales, .. } => {
                [Some(codes), Some(scales), None, None]
            }
            StoredForm::Int4(parts) => {
                [Some(parts.codes), Some(parts.zeros), Some(parts.scales), parts.order]
            }
        };
        all.into_iter().flatten()
    }
}

/// Bytes of a block's codes.
const MXFP4_BYTES: u64 = 16;

/// Tensors that a matrix may consist of.
const PARTS_MAX: usize = 4;

/// Columns that a cut through the matrix whose parts come first in `tensors` must not part.
pub(crate) fn column_block(tensors: &[TensorEntry]) -> u64 {
    let Some(tensor) = tensors.first() else { return 1 };
    let stem = tensor.name.strip_suffix("gptq_codes").or(tensor.name.strip_suffix("awq_codes"));
    if let Some(stem) = stem {
        let find = |name: &str| tensors.iter().take(PARTS_MAX).find(|tensor| tensor.name == name);
        let stored = StoredMatrix::find(&format!("{stem}weight"), find);
        if let Ok(StoredMatrix { form: StoredForm::Int4(parts), .. }) = stored {
            return parts.group;
        }
    }
    if tensor.name.ends_with(".mxfp4_blocks") {
        return 2 * MXFP4_BYTES;
    }
    match tensor.weight_type {
        WeightType::F8E4M3 => FLOAT8_BLOCK,
        kind => kind.block_elements(),
    }
}

/// Rows and columns of a scale of 8-bit floats.
pub(crate) const FLOAT8_BLOCK: u64 = 128;

fn float8_scales(
    scales: &TensorEntry,
    [rows, columns]: [u64; 2],
) -> Result<Float8Scales, StorageError> {
    check_type(scales, |kind| !kind.is_part() && !kind.is_quantised())?;
    let blocks = [rows.div_ceil(FLOAT8_BLOCK), columns.div_ceil(FLOAT8_BLOCK)];
    match scales.shape[..] {
        [] | [1] => Ok(Float8Scales::Matrix),
        [count, width] if [count, width] == blocks => Ok(Float8Scales::Blocks),
        [count, 1] if count == rows => Ok(Float8Scales::Rows),
        _ => {
            check_shape(scales, &blocks)?;
            Ok(Float8Scales::Blocks)
        }
    }
}

impl<'a> StoredVector<'a> {
    /// Finds the vector called `name`, as `StoredMatrix::find` does.
    pub fn find(
        name: &str,
        find: impl Fn(&str) -> Option<&'a TensorEntry>,
    ) -> Result<Self, StorageError> {
        let stem = name.strip_suffix(".bias").and_then(in_turn);
        let in_turn = stem.map(|(stem, view)| (format!("{stem}.bias"), view));
        let own = (name.to_owned(), RowView::ALL);
        for (name, elements) in [own].into_iter().chain(in_turn) {
            let Some(entry) = find(&name) else { continue };
            check_type(entry, |kind| !kind.is_part() && !kind.is_quantised())?;
            return Ok(Self { entry, elements });
        }
        Err(StorageError::Missing { tensor: name.to_owned() })
    }

    /// Its length, rows of a tensor that is none counted as one.
    pub fn shape(&self) -> Vec<u64> {
        let mut shape = self.entry.shape.clone();
        if let [length] = &mut shape[..] {
            *length /= self.elements.step;
        }
        shape
    }
}

/// Where gate and up of an expert stand row by row in turn, as in gpt-oss: the name of both, and
/// which rows of it are meant by `stem` (`blk.0.ffn_up.3`).
fn in_turn(stem: &str) -> Option<(String, RowView)> {
    let (layer, part) = stem.rsplit_once("ffn_")?;
    let (which, expert) = part.split_once('.')?;
    let first = match which {
        "gate" => 0,
        "up" => 1,
        _ => return None,
    };
    Some((format!("{layer}ffn_gate_up.{expert}"), RowView { first, step: 2 }))
}

fn need<'a>(
    name: &str,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
) -> Result<&'a TensorEntry, StorageError> {
    find(name).ok_or_else(|| StorageError::Missing { tensor: name.to_owned() })
}

fn check_columns(entry: &TensorEntry, columns: u64, block: u64) -> Result<(), StorageError> {
    if columns.is_multiple_of(block) {
        return Ok(());
    }
    Err(StorageError::BadColumns { tensor: entry.name.clone(), columns, block })
}

fn check_shape(entry: &TensorEntry, shape: &[u64]) -> Result<(), StorageError> {
    if entry.shape == shape {
        return Ok(());
    }
    Err(StorageError::WrongShape {
        tensor: entry.name.clone(),
        found: entry.shape.clone(),
        expected: shape.to_vec(),
    })
}

fn check_type(entry: &TensorEntry, fits: impl Fn(WeightType) -> bool) -> Result<(), StorageError> {
    if fits(entry.weight_type) {
        return Ok(());
    }
    let (tensor, found) = (entry.name.clone(), entry.weight_type);
    Err(StorageError::WrongType { tensor, found })
}
