//! JSON files of bounded size, and fields of theirs with errors that name them.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::CheckpointError;

/// The largest configuration files hold some hundred kilobytes.
const JSON_BYTES_MAX: u64 = 16 << 20;

/// A JSON object.
pub(super) fn read(path: &Path) -> Result<Map<String, Value>, CheckpointError> {
    let bytes = read_bytes(path, JSON_BYTES_MAX)?;
    let malformed = |reason: String| CheckpointError::Malformed {
        path: path.to_owned(),
        what: "the JSON text".to_owned(),
        reason,
    };
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(malformed("not an object".to_owned())),
        Err(error) => Err(malformed(error.to_string())),
    }
}

/// The file if there is one.
pub(super) fn read_optional(path: &Path) -> Result<Map<String, Value>, CheckpointError> {
    if path.is_file() { read(path) } else { Ok(Map::new()) }
}

/// The whole file, refused if it is over `limit`.
pub(super) fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, CheckpointError> {
    use std::io::Read as _;
    let io = |source| CheckpointError::Io { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(CheckpointError::OverLimit {
            path: path.to_owned(),
            what: "the size of the file in bytes".to_owned(),
            value: bytes.len() as u64,
            limit,
        });
    }
    Ok(bytes)
}

/// A JSON object with the file it came from, for errors.
pub(super) struct Fields<'a> {
    pub(super) path: &'a Path,
    pub(super) map: &'a Map<String, Value>,
}

impl Fields<'_> {
    /// The field, unless it is absent or null.
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn string(&self, field: &str) -> Result<Option<&str>, CheckpointError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.bad(field, value, "a string"))
    }

    pub(super) fn bool(&self, field: &str) -> Result<Option<bool>, CheckpointError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.bad(field, value, "true or false"))
    }

    pub(super) fn u32(&self, field: &str) -> Result<Option<u32>, CheckpointError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        number.map(Some).ok_or_else(|| self.bad(field, value, "a 32-bit whole number"))
    }

    pub(super) fn need_u32(&self, field: &str) -> Result<u32, CheckpointError> {
        self.u32(field)?.ok_or_else(|| self.missing(field))
    }

    pub(super) fn f32(&self, field: &str) -> Result<Option<f32>, CheckpointError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let number = value.as_f64().map(|n| n as f32).filter(|n| n.is_finite());
        number.map(Some).ok_or_else(|| self.bad(field, value, "a number"))
    }

    pub(super) fn need_f32(&self, field: &str) -> Result<f32, CheckpointError> {
        self.f32(field)?.ok_or_else(|| self.missing(field))
    }

    pub(super) fn need_f32_list(&self, field: &str) -> Result<Vec<f32>, CheckpointError> {
        let value = self.get(field).ok_or_else(|| self.missing(field))?;
        let number = |value: &Value| value.as_f64().map(|n| n as f32).filter(|n| n.is_finite());
        let numbers = value.as_array().and_then(|all| all.iter().map(number).collect());
        numbers.ok_or_else(|| self.bad(field, value, "a list of numbers"))
    }

    pub(super) fn missing(&self, field: &str) -> CheckpointError {
        CheckpointError::MissingField { path: self.path.to_owned(), field: field.to_owned() }
    }

    pub(super) fn bad(
        &self,
        field: &str,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> CheckpointError {
        CheckpointError::BadField {
            path: self.path.to_owned(),
            field: field.to_owned(),
            value: value.to_string().chars().take(200).collect(),
            expected: expected.into(),
        }
    }
}
