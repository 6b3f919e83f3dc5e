//! Models in several GGUF files: `name-00001-of-00003.gguf` and its siblings.

use std::path::{Path, PathBuf};

use super::header::{self, Header};
use super::metadata::Metadata;
use crate::error::CheckpointError;
use crate::source::Source;
use crate::tensor::TensorEntry;

const COUNT: &str = "split.count";
const NUMBER: &str = "split.no";
const PARTS_MAX: u32 = 1024;

/// The metadata of the first file, all files, and the tensors of all of them.
pub(super) struct Parts {
    pub(super) fields: Metadata,
    pub(super) files: Vec<PathBuf>,
    pub(super) tensors: Vec<TensorEntry>,
}

/// Reads the headers of the file at `path` and of those that belong to it; any of them will do.
pub(super) fn read(path: &Path) -> Result<Parts, CheckpointError> {
    let Header { fields, tensors } = header::read(&mut Source::open(path)?)?;
    let fields = Metadata::new(path, fields);
    let count = fields.u32(COUNT)?.unwrap_or(1);
    if count <= 1 {
        return Ok(Parts { fields, files: vec![path.to_owned()], tensors });
    }
    let files = siblings(&fields, count)?;
    let mut parts = Parts { fields, files: files.clone(), tensors: Vec::new() };
    for (number, file) in (0..).zip(&files) {
        let header = header::read(&mut Source::open(file)?)?;
        let fields = Metadata::new(file, header.fields);
        for (field, expected) in [(COUNT, count), (NUMBER, number)] {
            let found = fields.need_u32(field)?;
            if found != expected {
                return Err(fields.bad(field, found, format!("{expected}, as its name says")));
            }
        }
        let tensors = header.tensors.into_iter();
        parts.tensors.extend(tensors.map(|tensor| TensorEntry { file: number, ..tensor }));
        if number == 0 {
            parts.fields = fields;
        }
    }
    Ok(parts)
}

/// All files of a model, by the name of one: `stem-00002-of-00003.gguf`.
fn siblings(fields: &Metadata, count: u32) -> Result<Vec<PathBuf>, CheckpointError> {
    if count > PARTS_MAX {
        return Err(fields.bad(COUNT, count, format!("at most {PARTS_MAX}")));
    }
    let path = fields.path();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let of = format!("-of-{count:05}.gguf");
    let stem = name.as_deref().and_then(|name| name.strip_suffix(&of)).and_then(|rest| {
        let (stem, number) = rest.rsplit_once('-')?;
        (number.len() == 5 && number.bytes().all(|b| b.is_ascii_digit())).then_some(stem)
    });
    let Some(stem) = stem else {
        let expected = format!("1, or a file called `name-00001-of-{count:05}.gguf`");
        return Err(fields.bad(COUNT, count, expected));
    };
    Ok((1..=count).map(|i| path.with_file_name(format!("{stem}-{i:05}{of}"))).collect())
}
