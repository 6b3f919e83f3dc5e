//! The fields of a request body, taken out one by one with their types and ranges.

use std::fmt::Debug;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::gateway::error::ApiError;

/// A JSON object whose fields are taken as they are read; what stays was not understood.
pub(super) struct Fields {
    map: Map<String, Value>,
}

impl Fields {
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self { map }),
            Ok(other) => Err(ApiError::bad_body(format!(
                "The request body must be a JSON object, not {}.",
                kind(&other)
            ))),
            Err(error) => {
                Err(ApiError::bad_body(format!("The request body is not valid JSON: {error}.")))
            }
        }
    }

    pub(super) fn of(map: Map<String, Value>) -> Self {
        Self { map }
    }

    /// The value of a field; an absent one and `null` mean the same.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|v| !v.is_null())
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(wrong_type(name, "a boolean", &other)),
        }
    }

    pub(super) fn integer(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_i64().ok_or_else(|| wrong_type(name, "an integer", &value))?;
        if range.contains(&number) { Ok(Some(number)) } else { Err(outside(name, number, &range)) }
    }

    pub(super) fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f32>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_f64().ok_or_else(|| wrong_type(name, "a number", &value))?;
        if range.contains(&number) {
            Ok(Some(number as f32))
        } else {
            Err(outside(name, number, &range))
        }
    }

    pub(super) fn string(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(other) => Err(wrong_type(name, "a string", &other)),
        }
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(other) => Err(wrong_type(name, "a list", &other)),
        }
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(wrong_type(name, "an object", &other)),
        }
    }

    /// Names of the fields that nothing has taken, sorted; one without a value is not worth a word.
    pub(super) fn ignored(self) -> Vec<String> {
        let valued = self.map.into_iter().filter(|(_, value)| !value.is_null());
        let mut names: Vec<String> = valued.map(|(name, _)| name).collect();
        names.sort();
        names
    }
}

pub(super) fn wrong_type(name: &str, expected: &str, found: &Value) -> ApiError {
    let found = kind(found);
    ApiError::invalid(name, format!("Invalid type for '{name}': expected {expected}, got {found}."))
}

fn outside<T: Debug>(name: &str, value: T, range: &RangeInclusive<T>) -> ApiError {
    let (low, high) = (range.start(), range.end());
    ApiError::invalid(
        name,
        format!("Invalid value for '{name}': {value:?} is not between {low:?} and {high:?}."),
    )
}

/// What a JSON value is, without repeating it: it may hold a prompt.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
