//! Why packed weights are not used, or not kept.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum PackedCacheError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is not what was written there: {what}")]
    Damaged { path: PathBuf, what: String },
    #[error("{path} is of {found}, expected {expected}")]
    OfOther { path: PathBuf, found: String, expected: String },
    #[error("{needed} bytes of packed weights are more than the {limit} that may be kept")]
    OverLimit { needed: u64, limit: u64 },
    #[error("{path} has {free} bytes free, packed weights need {needed} and a reserve")]
    NoSpace { path: PathBuf, needed: u64, free: u64 },
    #[error("the stage was freed before its packed weights were written")]
    Gone,
}

impl PackedCacheError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }
}
