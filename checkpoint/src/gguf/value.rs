//! Metadata values of a GGUF file: scalars, strings, and the arrays that a vocabulary needs.

use std::fmt;
use std::io::Read;

use protocol::limits::BLOB_BYTES_MAX;

use crate::error::CheckpointError;
use crate::source::Source;

/// A value as far as a model's configuration uses it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    String(String),
    Strings(Vec<String>),
    Floats(Vec<f32>),
    Integers(Vec<i32>),
    /// An array of an element type that no field of ours has; read over.
    OtherArray,
}

impl Value {
    pub(super) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(n) => Some(*n),
            Self::Signed(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    /// Short, for error messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(n) => n.fmt(f),
            Self::Signed(n) => n.fmt(f),
            Self::Float(n) => n.fmt(f),
            Self::Bool(b) => b.fmt(f),
            Self::String(s) => write!(f, "`{}`", s.chars().take(80).collect::<String>()),
            Self::Strings(a) => write!(f, "an array of {} strings", a.len()),
            Self::Floats(a) => write!(f, "an array of {} numbers", a.len()),
            Self::Integers(a) => write!(f, "an array of {} integers", a.len()),
            Self::OtherArray => f.write_str("an array"),
        }
    }
}

/// The value of `key`, its type first.
pub(super) fn read<R: Read>(source: &mut Source<R>, key: &str) -> Result<Value, CheckpointError> {
    let what = format!("field `{key}`");
    let kind = source.u32(&what)?;
    if kind == kind::ARRAY {
        return array(source, &what);
    }
    scalar(source, kind, &what)
}

/// A string with its length in front.
pub(super) fn string<R: Read>(
    source: &mut Source<R>,
    what: &str,
    bytes_max: u64,
) -> Result<String, CheckpointError> {
    let length = source.u64(what)?;
    if length > bytes_max {
        return Err(source.over_limit(&format!("the length of {what}"), length, bytes_max));
    }
    let bytes = source.bytes(what, length)?;
    String::from_utf8(bytes).map_err(|_| source.malformed(what, "not UTF-8"))
}

mod kind {
    pub(super) const U8: u32 = 0;
    pub(super) const I8: u32 = 1;
    pub(super) const U16: u32 = 2;
    pub(super) const I16: u32 = 3;
    pub(super) const U32: u32 = 4;
    pub(super) const I32: u32 = 5;
    pub(super) const F32: u32 = 6;
    pub(super) const BOOL: u32 = 7;
    pub(super) const STRING: u32 = 8;
    pub(super) const ARRAY: u32 = 9;
    pub(super) const U64: u32 = 10;
    pub(super) const I64: u32 = 11;
    pub(super) const F64: u32 = 12;
}

fn scalar<R: Read>(
    source: &mut Source<R>,
    kind: u32,
    what: &str,
) -> Result<Value, CheckpointError> {
    Ok(match kind {
        kind::U8 => Value::Unsigned(u8::from_le_bytes(source.array(what)?).into()),
        kind::I8 => Value::Signed(i8::from_le_bytes(source.array(what)?).into()),
        kind::U16 => Value::Unsigned(u16::from_le_bytes(source.array(what)?).into()),
        kind::I16 => Value::Signed(i16::from_le_bytes(source.array(what)?).into()),
        kind::U32 => Value::Unsigned(source.u32(what)?.into()),
        kind::I32 => Value::Signed(i32::from_le_bytes(source.array(what)?).into()),
        kind::F32 => Value::Float(f32::from_le_bytes(source.array(what)?).into()),
        kind::BOOL => Value::Bool(source.array::<1>(what)? != [0]),
        kind::STRING => Value::String(string(source, what, BLOB_BYTES_MAX)?),
        kind::U64 => Value::Unsigned(source.u64(what)?),
        kind::I64 => Value::Signed(i64::from_le_bytes(source.array(what)?)),
        kind::F64 => Value::Float(f64::from_le_bytes(source.array(what)?)),
        other => return Err(source.malformed(what, format!("unknown value type {other}"))),
    })
}

fn array<R: Read>(source: &mut Source<R>, what: &str) -> Result<Value, CheckpointError> {
    /// Four times the largest vocabulary in use.
    const ELEMENTS_MAX: u64 = 1 << 22;
    let kind = source.u32(what)?;
    let count = source.u64(what)?;
    if count > ELEMENTS_MAX {
        return Err(source.over_limit(&format!("the length of {what}"), count, ELEMENTS_MAX));
    }
    let each = match kind {
        kind::U8 | kind::I8 | kind::BOOL => 1,
        kind::U16 | kind::I16 => 2,
        kind::U32 | kind::I32 | kind::F32 => 4,
        kind::U64 | kind::I64 | kind::F64 | kind::STRING => 8,
        other => {
            let reason = format!("an array of element type {other}");
            return Err(source.malformed(what, reason));
        }
    };
    source.expect(what, count, each)?;
    match kind {
        kind::STRING => strings(source, what, count),
        kind::BOOL => {
            let bytes = source.bytes(what, count)?;
            Ok(Value::Integers(bytes.into_iter().map(|byte| i32::from(byte != 0)).collect()))
        }
        kind::F32 => Ok(Value::Floats(words(source, what, count, f32::from_le_bytes)?)),
        kind::I32 => Ok(Value::Integers(words(source, what, count, i32::from_le_bytes)?)),
        kind::U32 => {
            let narrow = |raw| i32::try_from(u32::from_le_bytes(raw)).unwrap_or(i32::MAX);
            Ok(Value::Integers(words(source, what, count, narrow)?))
        }
        _ => {
            source.skip(what, count * each)?;
            Ok(Value::OtherArray)
        }
    }
}

fn strings<R: Read>(
    source: &mut Source<R>,
    what: &str,
    count: u64,
) -> Result<Value, CheckpointError> {
    const STRING_BYTES_MAX: u64 = 1 << 16;
    let mut strings = Vec::with_capacity(count as usize);
    for _ in 0..count {
        strings.push(string(source, what, STRING_BYTES_MAX)?);
    }
    Ok(Value::Strings(strings))
}

fn words<R: Read, T>(
    source: &mut Source<R>,
    what: &str,
    count: u64,
    convert: impl Fn([u8; 4]) -> T,
) -> Result<Vec<T>, CheckpointError> {
    let bytes = source.bytes(what, count * 4)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|raw| convert(*raw)).collect())
}
