//! Typed access to the metadata of a GGUF file, with errors that name the field.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::value::Value;
use crate::error::CheckpointError;

pub(super) struct Metadata {
    path: PathBuf,
    fields: BTreeMap<String, Value>,
}

impl Metadata {
    pub(super) fn new(path: &Path, fields: BTreeMap<String, Value>) -> Self {
        Self { path: path.to_owned(), fields }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field)
    }

    pub(super) fn string(&self, field: &str) -> Result<Option<&str>, CheckpointError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.bad(field, other, "a string")),
        }
    }

    pub(super) fn bool(&self, field: &str) -> Result<Option<bool>, CheckpointError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.bad(field, other, "true or false")),
        }
    }

    /// A whole number; an array with one value throughout counts as that value, because some
    /// converters write one number per layer.
    pub(super) fn u32(&self, field: &str) -> Result<Option<u32>, CheckpointError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        let number = match value {
            Value::Integers(all) => match all.split_first() {
                Some((first, rest)) if rest.iter().all(|n| n == first) => {
                    u64::try_from(*first).ok()
                }
                _ => None,
            },
            other => other.as_u64(),
        };
        let number = number.and_then(|n| u32::try_from(n).ok());
        number.map(Some).ok_or_else(|| self.bad(field, value, "one 32-bit number"))
    }

    /// A number for each of `count` layers, or one for all of them.
    pub(super) fn per_layer(
        &self,
        field: &str,
        count: usize,
    ) -> Result<Option<Vec<u32>>, CheckpointError> {
        let Some(list @ Value::Integers(all)) = self.get(field) else {
            return Ok(self.u32(field)?.map(|one| vec![one; count]));
        };
        let numbers: Option<Vec<u32>> = all.iter().map(|n| u32::try_from(*n).ok()).collect();
        let bad = || self.bad(field, list, format!("{count} numbers"));
        numbers.filter(|numbers| numbers.len() == count).map(Some).ok_or_else(bad)
    }

    pub(super) fn need_u32(&self, field: &str) -> Result<u32, CheckpointError> {
        self.u32(field)?.ok_or_else(|| self.missing(field))
    }

    pub(super) fn f32(&self, field: &str) -> Result<Option<f32>, CheckpointError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Float(number)) if number.is_finite() => Ok(Some(*number as f32)),
            Some(other) => Err(self.bad(field, other, "a finite number")),
        }
    }

    pub(super) fn missing(&self, field: &str) -> CheckpointError {
        CheckpointError::MissingField { path: self.path.clone(), field: field.to_owned() }
    }

    pub(super) fn bad(
        &self,
        field: &str,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> CheckpointError {
        CheckpointError::BadField {
            path: self.path.clone(),
            field: field.to_owned(),
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    /// `general.name`, or the file's name without its ending.
    pub(super) fn model_name(&self) -> String {
        let stem = self.path.file_stem().map(|s| s.to_string_lossy().into_owned());
        match self.get("general.name") {
            Some(Value::String(name)) if !name.trim().is_empty() => name.trim().to_owned(),
            _ => stem.unwrap_or_default(),
        }
    }

    /// The mix of types that the file was written as, e.g. `Q4_K_M`.
    pub(super) fn file_type_label(&self) -> Option<String> {
        let number = self.get("general.file_type")?.as_u64()?;
        let label = match number {
            0 => "F32",
            1 => "F16",
            2 => "Q4_0",
            3 => "Q4_1",
            7 => "Q8_0",
            8 => "Q5_0",
            9 => "Q5_1",
            10 => "Q2_K",
            11 => "Q3_K_S",
            12 => "Q3_K_M",
            13 => "Q3_K_L",
            14 => "Q4_K_S",
            15 => "Q4_K_M",
            16 => "Q5_K_S",
            17 => "Q5_K_M",
            18 => "Q6_K",
            21 => "Q2_K_S",
            25 => "IQ4_NL",
            30 => "IQ4_XS",
            38 => "MXFP4_MOE",
            32 => "BF16",
            _ => return None,
        };
        Some(label.to_owned())
    }
}
