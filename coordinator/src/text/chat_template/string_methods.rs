//! Python's methods of text and dictionaries that templates call.

use minijinja::value::{Kwargs, Tuple, from_args};
use minijinja::{Error, ErrorKind, State, Value};

/// Ours first, where minijinja's differ from Python's or are missing; then minijinja's.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str()
        && let Some(result) = on_text(text, method, args)
    {
        return result;
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
}

fn on_text(text: &str, method: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    Some(match method {
        "strip" => stripped(text, args, true, true),
        "lstrip" => stripped(text, args, true, false),
        "rstrip" => stripped(text, args, false, true),
        "split" => split(text, args, false),
        "rsplit" => split(text, args, true),
        "splitlines" => split_lines(text, args),
        "partition" => partition(text, args, false),
        "rpartition" => partition(text, args, true),
        "removeprefix" => cut(args, |part| text.strip_prefix(part).unwrap_or(text)),
        "removesuffix" => cut(args, |part| text.strip_suffix(part).unwrap_or(text)),
        "casefold" => Ok(text.to_lowercase().into()),
        "zfill" => padded(args, |width| {
            let (sign, digits) = match text.strip_prefix(['-', '+']) {
                Some(digits) => (&text[..1], digits),
                None => ("", text),
            };
            let missing = width.saturating_sub(text.chars().count());
            format!("{sign}{}{digits}", "0".repeat(missing))
        }),
        "center" => padded(args, |width| centered(text, width)),
        "index" => position(text, args),
        "title" => from_args(args).map(|()| titled(text).into()),
        "swapcase" => {
            from_args(args).map(|()| text.chars().map(swapped).collect::<String>().into())
        }
        "isdecimal" => from_args(args).map(|()| is_decimal(text).into()),
        "ljust" => padded(args, |width| format!("{text:<width$}")),
        "rjust" => padded(args, |width| format!("{text:>width$}")),
        _ => return None,
    })
}

/// White space by Python's `str.isspace`: Unicode's, and the four ASCII separators.
fn is_space(sign: char) -> bool {
    sign.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&sign)
}

/// Takes `signs`, or white space, off the chosen ends.
pub(super) fn strip<'a>(text: &'a str, signs: Option<&str>, start: bool, end: bool) -> &'a str {
    let goes = |sign: char| signs.map_or_else(|| is_space(sign), |signs| signs.contains(sign));
    let text = if start { text.trim_start_matches(goes) } else { text };
    if end { text.trim_end_matches(goes) } else { text }
}

fn stripped(text: &str, args: &[Value], start: bool, end: bool) -> Result<Value, Error> {
    let (signs,): (Option<&str>,) = from_args(args)?;
    Ok(strip(text, signs, start, end).into())
}

fn split(text: &str, args: &[Value], from_right: bool) -> Result<Value, Error> {
    let (separator, most, kwargs): (Option<String>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = separator.or(kwargs.get("sep")?);
    let most = most.or(kwargs.get("maxsplit")?);
    kwargs.assert_all_used()?;
    let most = most.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let Some(separator) = separator else {
        return Ok(split_at_spaces(text, most, from_right).into_iter().map(Value::from).collect());
    };
    if separator.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
    }
    let parts = most.saturating_add(1);
    let mut found: Vec<&str> = if from_right {
        text.rsplitn(parts, &separator).collect()
    } else {
        text.splitn(parts, &separator).collect()
    };
    if from_right {
        found.reverse();
    }
    Ok(found.into_iter().map(Value::from).collect())
}

fn split_at_spaces(text: &str, most: usize, from_right: bool) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = strip(text, None, true, true);
    while words.len() < most {
        let cut = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(cut) = cut else { break };
        let width = rest[cut..].chars().next().map_or(1, char::len_utf8);
        let (left, right) = (&rest[..cut], &rest[cut + width..]);
        if from_right {
            words.push(right);
            rest = strip(left, None, false, true);
        } else {
            words.push(left);
            rest = strip(right, None, true, false);
        }
    }
    if !rest.is_empty() {
        words.push(rest);
    }
    if from_right {
        words.reverse();
    }
    words
}

fn split_lines(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
    let keep = keep.or(kwargs.get("keepends")?).unwrap_or(false);
    let ends = |sign: char| {
        matches!(sign, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}')
            || matches!(sign, '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(ends) {
        let width = match &rest[end..] {
            tail if tail.starts_with("\r\n") => 2,
            tail => tail.chars().next().map_or(1, char::len_utf8),
        };
        lines.push(Value::from(&rest[..if keep { end + width } else { end }]));
        rest = &rest[end + width..];
    }
    if !rest.is_empty() {
        lines.push(Value::from(rest));
    }
    Ok(lines.into())
}

fn partition(text: &str, args: &[Value], from_right: bool) -> Result<Value, Error> {
    let (separator,): (&str,) = from_args(args)?;
    let found = if from_right { text.rsplit_once(separator) } else { text.split_once(separator) };
    let parts = match found {
        Some((left, right)) => [left, separator, right],
        None if from_right => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

fn cut<'a>(args: &[Value], rest: impl Fn(&str) -> &'a str) -> Result<Value, Error> {
    let (part,): (&str,) = from_args(args)?;
    Ok(rest(part).into())
}

/// Widths are bounded: a template must not take memory by a number.
fn padded(args: &[Value], pad: impl Fn(usize) -> String) -> Result<Value, Error> {
    let (width,): (usize,) = from_args(args)?;
    Ok(pad(width.min(1024)).into())
}

/// An odd blank goes where Python puts it: to the left if the width is odd, else to the right.
fn centered(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let left = missing / 2 + (missing & width & 1);
    format!("{}{text}{}", " ".repeat(left), " ".repeat(missing - left))
}

/// In characters; a part that is not there is an error, as in Python.
fn position(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (part,): (&str,) = from_args(args)?;
    match text.find(part) {
        Some(start) => Ok(text[..start].chars().count().into()),
        None => Err(Error::new(ErrorKind::InvalidOperation, "substring not found")),
    }
}

/// A capital after everything that is no letter, also after an apostrophe.
fn titled(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut inside = false;
    for sign in text.chars() {
        if inside {
            result.extend(sign.to_lowercase())
        } else {
            result.extend(sign.to_uppercase())
        }
        inside = sign.is_alphabetic();
    }
    result
}

fn swapped(sign: char) -> char {
    let other =
        if sign.is_uppercase() { sign.to_lowercase().next() } else { sign.to_uppercase().next() };
    other.unwrap_or(sign)
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|sign| sign.is_ascii_digit())
}
