//! A service's options in TOML: known keys only, each value checked as a flag's is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Command;
use toml::{Table, Value};

use super::{check, options};
use crate::error::CliError;

/// The values of one file as a flag would have them.
#[derive(Debug)]
pub(crate) struct OptionFile {
    pub path: PathBuf,
    values: BTreeMap<String, String>,
}

impl OptionFile {
    pub(super) fn read(path: &Path, service: &Command) -> Result<Self, CliError> {
        let unusable = |why: String| CliError::usage(format!("cannot use {}", path.display()), why);
        let text = std::fs::read_to_string(path).map_err(|e| unusable(e.to_string()))?;
        let table: Table = text.parse().map_err(|e: toml::de::Error| unusable(e.to_string()))?;
        let mut values = BTreeMap::new();
        for (key, value) in table {
            let Some(option) = options(service).find(|option| option.get_id() == &key) else {
                return Err(unknown(path, &key, service));
            };
            let text = as_flag(&value);
            let checked = match &text {
                Some(text) => check(option, text),
                None => Err("expected a text, a number, true or false, or a list of these".into()),
            };
            let shown = text.clone().unwrap_or_else(|| value.to_string());
            checked.map_err(|why| {
                CliError::usage(format!("{key} is `{shown}` in {}", path.display()), why)
            })?;
            values.insert(key, shown);
        }
        Ok(Self { path: path.to_owned(), values })
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }
}

fn as_flag(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(as_flag).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

fn unknown(path: &Path, key: &str, service: &Command) -> CliError {
    let known: Vec<&str> = options(service).map(|option| option.get_id().as_str()).collect();
    let near = nearest(key, &known);
    let why = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are: {}", known.join(", ")),
    };
    let next = format!("trireme config defaults {} shows every key", service.get_name());
    let what = format!("{} has an unknown key `{key}`", path.display());
    CliError { next, ..CliError::usage(what, why) }
}

/// The known name that is most alike, if any is.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.replace('-', "_");
    let scored = known.iter().map(|k| (distance(&name, k), *k));
    scored.min().filter(|(steps, k)| *steps <= k.len().div_ceil(3)).map(|(_, k)| k)
}

/// Letters to insert, drop or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let changed = corner + usize::from(letter != *other);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_told_from_another_word() {
        let known = ["memory_limit", "listen", "name"];
        assert_eq!(nearest("memory_limits", &known), Some("memory_limit"));
        assert_eq!(nearest("memory-limit", &known), Some("memory_limit"));
        assert_eq!(nearest("lsten", &known), Some("listen"));
        assert_eq!(nearest("colour", &known), None);
    }
}
