//! `tojson` as Python's `json.dumps` writes it, with the defaults of `transformers`.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::python_float;

/// The arguments of `json.dumps` that templates use.
struct Style {
    ensure_ascii: bool,
    /// The text of one level, or `None` for everything on one line.
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
}

/// The filter `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(
    value: &Value,
    first: Option<Value>,
    second: Option<Value>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let style = Style::new(first, second, &kwargs)?;
    kwargs.assert_all_used()?;
    let mut text = String::new();
    style.write(&mut text, value, 0)?;
    Ok(text)
}

impl Style {
    fn new(ascii: Option<Value>, indent: Option<Value>, kwargs: &Kwargs) -> Result<Self, Error> {
        let ascii = ascii.or(kwargs.get("ensure_ascii")?);
        let indent = indent.or(kwargs.get("indent")?).filter(|indent| !indent.is_none());
        let indent = indent.map(|indent| match indent.as_str() {
            Some(text) => text.to_owned(),
            None => " ".repeat(indent.as_usize().unwrap_or(0).min(64)),
        });
        let separators: Option<Vec<String>> = kwargs.get("separators")?;
        let (item_separator, key_separator) = match separators.as_deref() {
            Some([item, key]) => (item.clone(), key.clone()),
            _ if indent.is_some() => (",".to_owned(), ": ".to_owned()),
            _ => (", ".to_owned(), ": ".to_owned()),
        };
        Ok(Self {
            ensure_ascii: ascii.is_some_and(|flag| flag.is_true()),
            indent,
            item_separator,
            key_separator,
            sort_keys: kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        })
    }

    fn write(&self, text: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => text.push_str("null"),
            ValueKind::Bool => text.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => text.push_str(&number(value)),
            ValueKind::String => self.write_string(text, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.write_items(text, depth, ['[', ']'], items.len(), |text, index| {
                    self.write(text, &items[index], depth + 1)
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort_by_key(key_text);
                }
                self.write_items(text, depth, ['{', '}'], keys.len(), |text, index| {
                    self.write_string(text, &key_text(&keys[index]));
                    text.push_str(&self.key_separator);
                    self.write(text, &value.get_item(&keys[index])?, depth + 1)
                })?;
            }
            other => {
                let what = format!("a value of kind {other} is not JSON serializable");
                return Err(Error::new(ErrorKind::InvalidOperation, what));
            }
        }
        Ok(())
    }

    fn write_items(
        &self,
        text: &mut String,
        depth: usize,
        [open, close]: [char; 2],
        count: usize,
        mut item: impl FnMut(&mut String, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        text.push(open);
        for index in 0..count {
            if index > 0 {
                text.push_str(&self.item_separator);
            }
            self.new_line(text, depth + 1);
            item(text, index)?;
        }
        if count > 0 {
            self.new_line(text, depth);
        }
        text.push(close);
        Ok(())
    }

    fn new_line(&self, text: &mut String, depth: usize) {
        if let Some(indent) = &self.indent {
            text.push('\n');
            text.push_str(&indent.repeat(depth));
        }
    }

    fn write_string(&self, text: &mut String, value: &str) {
        text.push('"');
        for sign in value.chars() {
            match sign {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{8}' => text.push_str("\\b"),
                '\u{c}' => text.push_str("\\f"),
                sign if u32::from(sign) < 0x20 || (self.ensure_ascii && !sign.is_ascii()) => {
                    for unit in sign.encode_utf16(&mut [0; 2]) {
                        text.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                sign => text.push(sign),
            }
        }
        text.push('"');
    }
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => "NaN".to_owned(),
        Ok(number) if number.is_infinite() && number > 0.0 => "Infinity".to_owned(),
        Ok(number) if number.is_infinite() => "-Infinity".to_owned(),
        Ok(number) => python_float::repr(number),
        Err(_) => value.to_string(),
    }
}

/// JSON keys are text; Python writes the few other kinds as JSON would.
fn key_text(key: &Value) -> String {
    match key.kind() {
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.to_owned(),
        ValueKind::Number => number(key),
        _ => key.to_string(),
    }
}
