//! Matrices of 4-bit codes as GPTQ and AWQ store them: inputs first, eight codes to a word.

use super::{StorageError, check_columns, check_shape, check_type, need};
use crate::tensor::TensorEntry;
use crate::weight_type::WeightType;

/// The tensors of a matrix; `out` are its rows, `in` its columns.
#[derive(Clone, Copy, Debug)]
pub struct Int4Parts<'a> {
    pub layout: Int4Layout,
    /// `[in / 8, out]` for GPTQ, `[in, out / 8]` for AWQ.
    pub codes: &'a TensorEntry,
    /// The codes that stand for zero, `[groups, out / 8]`.
    pub zeros: &'a TensorEntry,
    /// `[groups, out]`
    pub scales: &'a TensorEntry,
    /// The group of each column (`g_idx`), `[in]`; without, they follow each other.
    pub order: Option<&'a TensorEntry>,
    /// Columns that share scale and zero.
    pub group: u64,
}

/// Where a code stands in its word, and what is stored of a zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Int4Layout {
    /// A word holds eight inputs of one output, the first lowest (`gptq_v2`).
    Gptq,
    /// The same, with one taken off each zero (`gptq`, the first version).
    GptqLessOne,
    /// A word holds eight outputs of one input, from the lowest: 0, 2, 4, 6, 1, 3, 5, 7.
    Awq,
}

impl<'a> Int4Parts<'a> {
    /// The parts of the matrix `stem` (`blk.0.attn_q`), if it has such.
    pub(super) fn find(
        stem: &str,
        find: impl Fn(&str) -> Option<&'a TensorEntry>,
    ) -> Result<Option<Self>, StorageError> {
        let part = |ending: &str| find(&format!("{stem}.{ending}"));
        let (layout, codes, zeros) = if let Some(codes) = part("awq_codes") {
            (Int4Layout::Awq, codes, need(&format!("{stem}.awq_zeros"), &find)?)
        } else if let Some(codes) = part("gptq_codes") {
            match part("gptq_zeros_less_one") {
                Some(zeros) => (Int4Layout::GptqLessOne, codes, zeros),
                None => (Int4Layout::Gptq, codes, need(&format!("{stem}.gptq_zeros"), &find)?),
            }
        } else {
            return Ok(None);
        };
        let scales = need(&format!("{stem}.scales"), &find)?;
        let order = part("gptq_groups");
        Ok(Some(Self { layout, codes, zeros, scales, order, group: 0 }))
    }

    /// The parts and the shape `[out, in]`, once they fit each other and the groups are known.
    pub(super) fn checked(self) -> Result<(Self, [u64; 2]), StorageError> {
        for part in [Some(self.codes), Some(self.zeros), self.order].into_iter().flatten() {
            check_type(part, |kind| kind == WeightType::I32)?;
        }
        check_type(self.scales, |kind| kind == WeightType::F16)?;
        let not_a_matrix = || StorageError::not_a_matrix(self.codes);
        let [first, second] = self.codes.shape[..] else { return Err(not_a_matrix()) };
        let wide = |count: u64| count.checked_mul(8).ok_or_else(not_a_matrix);
        let (inputs, outputs) = match self.layout {
            Int4Layout::Awq => (first, wide(second)?),
            _ => (wide(first)?, second),
        };
        if !outputs.is_multiple_of(8) || u32::try_from(inputs).is_err() {
            return Err(not_a_matrix());
        }
        let groups = match self.scales.shape[..] {
            [groups, _] if groups > 0 => groups,
            _ => return Err(StorageError::not_a_matrix(self.scales)),
        };
        check_shape(self.scales, &[groups, outputs])?;
        check_shape(self.zeros, &[groups, outputs / 8])?;
        if let Some(order) = self.order {
            check_shape(order, &[inputs])?;
        }
        // A group is of whole blocks of 32, the fewest columns that products take together.
        check_columns(self.codes, inputs, groups.saturating_mul(32))?;
        Ok((Self { group: (inputs / groups).max(1), ..self }, [outputs, inputs]))
    }

    /// The blocks that a group is cut into.
    pub fn blocks(&self) -> WeightType {
        let blocks = [WeightType::Int4x128, WeightType::Int4x64];
        let whole = |kind: &WeightType| self.group.is_multiple_of(kind.block_elements());
        blocks.into_iter().find(whole).unwrap_or(WeightType::Int4x32)
    }

    pub fn entries(&self) -> impl Iterator<Item = &'a TensorEntry> + use<'a> {
        [Some(self.codes), Some(self.zeros), Some(self.scales), self.order].into_iter().flatten()
    }
}
