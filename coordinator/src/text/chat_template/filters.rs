//! Filters, tests and functions that differ between minijinja and Python's jinja2.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, Value};

use super::{python_json, python_text, string_methods};

pub(super) fn register(environment: &mut Environment<'static>) {
    environment.add_filter("tojson", python_json::tojson);
    environment.add_filter("string", |value: &Value| python_text::str(value));
    environment.add_filter("trim", trim);
    environment.add_filter("join", join);
    environment.add_filter("int", int);
    environment.add_filter("wordcount", |text: &str| text.split_whitespace().count());
    environment.add_test("iterable", is_iterable);
    environment.add_test("callable", is_callable);
    environment.add_test("sequence", is_sequence);
    environment.add_function("cycler", minijinja_contrib::globals::cycler);
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
}

fn trim(value: &Value, signs: Option<&str>) -> String {
    string_methods::strip(&python_text::str(value), signs, true, true).to_owned()
}

/// Items as Python writes them, not as minijinja does (`True`, not `true`).
fn join(value: &Value, separator: Option<&str>, kwargs: Kwargs) -> Result<String, Error> {
    let separator = separator.map(str::to_owned).or(kwargs.get("d")?).unwrap_or_default();
    let attribute: Option<String> = kwargs.get("attribute")?;
    kwargs.assert_all_used()?;
    if value.is_undefined() {
        return Ok(String::new());
    }
    let mut parts = Vec::new();
    for item in value.try_iter()? {
        let item = match &attribute {
            Some(attribute) => item.get_attr(attribute)?,
            None => item,
        };
        parts.push(python_text::str(&item));
    }
    Ok(parts.join(&separator))
}

/// What is no number counts as `default`, 0 if not given.
fn int(value: &Value, default: Option<i64>) -> i64 {
    let default = default.unwrap_or(0);
    match value.as_str() {
        Some(text) => {
            let text = text.trim();
            let float = || text.parse::<f64>().map(|number| number as i64);
            text.parse().or_else(|_| float()).unwrap_or(default)
        }
        None if value.kind() == ValueKind::Bool => i64::from(value.is_true()),
        None => match value.as_i64() {
            Some(number) => number,
            None => f64::try_from(value.clone()).map_or(default, |number| number as i64),
        },
    }
}

/// In Python a text and a mapping can be iterated, and nothing (`None`) cannot.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// What has a length and can be indexed: in Python also a text and a mapping.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
}

/// Functions and macros.
fn is_callable(value: &Value) -> bool {
    value.kind() == ValueKind::Plain
}
