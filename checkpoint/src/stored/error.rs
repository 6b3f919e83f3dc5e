//! What can be wrong with the tensors of a matrix.

use crate::tensor::TensorEntry;
use crate::weight_type::WeightType;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    #[error("tensor `{tensor}` is missing")]
    Missing { tensor: String },
    #[error("tensor `{tensor}` has shape {found:?}, expected {expected:?}")]
    WrongShape { tensor: String, found: Vec<u64>, expected: Vec<u64> },
    #[error("tensor `{tensor}` is of type {found}, which its place does not take")]
    WrongType { tensor: String, found: WeightType },
    #[error("tensor `{tensor}` has shape {found:?}, which is none of a matrix")]
    NotAMatrix { tensor: String, found: Vec<u64> },
    #[error("tensor `{tensor}` holds {columns} columns, expected a multiple of {block}")]
    BadColumns { tensor: String, columns: u64, block: u64 },
}

impl StorageError {
    pub(super) fn not_a_matrix(entry: &TensorEntry) -> Self {
        Self::NotAMatrix { tensor: entry.name.clone(), found: entry.shape.clone() }
    }

    /// The tensor that it is about.
    pub fn tensor(&self) -> &str {
        match self {
            Self::Missing { tensor }
            | Self::WrongShape { tensor, .. }
            | Self::WrongType { tensor, .. }
            | Self::BadColumns { tensor, .. }
            | Self::NotAMatrix { tensor, .. } => tensor,
        }
    }
}
