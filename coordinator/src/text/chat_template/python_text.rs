//! Values as Python's `str()` and `repr()` write them: `True`, `None`, `['a', 1.0]`.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::python_float;

/// What `{{ value }}` shows.
pub(super) fn str(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => repr(value),
    }
}

fn repr(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined => String::new(),
        ValueKind::None => "None".to_owned(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::Number if !value.is_integer() => {
            f64::try_from(value.clone()).map_or_else(|_| value.to_string(), python_float::repr)
        }
        ValueKind::String => value.as_str().map_or_else(String::new, quoted),
        ValueKind::Seq if value.is_tuple() => sequence(value, "(", ")"),
        ValueKind::Seq | ValueKind::Iterable => sequence(value, "[", "]"),
        ValueKind::Map => mapping(value),
        _ => value.to_string(),
    }
}

fn sequence(value: &Value, open: &str, close: &str) -> String {
    let Ok(items) = value.try_iter() else { return value.to_string() };
    let items: Vec<String> = items.map(|item| repr(&item)).collect();
    let comma = if items.len() == 1 && open == "(" { "," } else { "" };
    format!("{open}{}{comma}{close}", items.join(", "))
}

fn mapping(value: &Value) -> String {
    let Ok(keys) = value.try_iter() else { return value.to_string() };
    let pairs = keys.map(|key| {
        let entry = value.get_item(&key).unwrap_or_default();
        format!("{}: {}", repr(&key), repr(&entry))
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// Single quotes, unless the text holds some and no double ones.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut result = String::from(quote);
    for sign in text.chars() {
        match sign {
            '\\' => result.push_str("\\\\"),
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            '\t' => result.push_str("\\t"),
            sign if sign == quote => result.extend(['\\', sign]),
            sign if sign.is_control() && u32::from(sign) <= 0xFF => {
                result.push_str(&format!("\\x{:02x}", u32::from(sign)));
            }
            sign => result.push(sign),
        }
    }
    result.push(quote);
    result
}
