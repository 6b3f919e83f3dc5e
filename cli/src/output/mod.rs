//! Results on standard output, in the format that was asked for.

pub(crate) mod bytes;
mod rows;
pub(crate) mod schema;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use protocol::admin::{API_VERSION, List};
use serde::Serialize;

use crate::args::{Format, Global};
use crate::error::CliError;
use crate::terminal::note_line;

/// Prints results; knows the format and whether notes are wanted.
pub(crate) struct Output {
    pub format: Format,
    pub quiet: bool,
}

/// A thing that has a line in a table.
pub(crate) trait Row: Serialize {
    fn columns(wide: bool) -> Vec<&'static str>;
    fn cells(&self, wide: bool) -> Vec<String>;
    fn name(&self) -> String;
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        Self { format: global.output, quiet: global.quiet }
    }

    /// For a command line that could not be read as a whole.
    pub(crate) fn of_words(words: &[OsString]) -> Self {
        let words: Vec<_> = words.iter().filter_map(|word| word.to_str()).collect();
        let named = words.iter().enumerate().find_map(|(at, word)| match *word {
            "-o" | "--output" => words.get(at + 1).copied(),
            word => word.strip_prefix("--output=").or_else(|| {
                word.strip_prefix("-o").filter(|rest| !rest.is_empty() && !rest.starts_with('-'))
            }),
        });
        let format = named.and_then(|named| Format::from_str(named, false).ok());
        Self { format: format.unwrap_or(Format::Table), quiet: false }
    }

    pub(crate) fn list<T: Row>(&self, list: &List<T>) -> Result<(), CliError> {
        self.rendered_list(list).map(|text| lines(&text))
    }

    /// One thing: a table of one row, or the whole value under its kind.
    pub(crate) fn one<T: Row>(&self, kind: &str, item: &T) -> Result<(), CliError> {
        self.rendered_one(kind, item).map(|text| lines(&text))
    }

    fn rendered_list<T: Row>(&self, list: &List<T>) -> Result<String, CliError> {
        match self.format {
            Format::Table | Format::Wide => Ok(self.table(&list.items)),
            Format::Jsonl => {
                let items: Result<Vec<_>, _> = list.items.iter().map(json_line).collect();
                Ok(items?.join("\n"))
            }
            Format::Name => Ok(list.items.iter().map(T::name).collect::<Vec<_>>().join("\n")),
            Format::Json | Format::Yaml => self.value(list),
        }
    }

    fn rendered_one<T: Row>(&self, kind: &str, item: &T) -> Result<String, CliError> {
        match self.format {
            Format::Table | Format::Wide => Ok(self.table(std::slice::from_ref(item))),
            Format::Name => Ok(item.name()),
            Format::Json | Format::Yaml | Format::Jsonl => self.value(&Kinded::new(kind, item)),
        }
    }

    /// A value that has no table: YAML reads well enough.
    pub(crate) fn describe<T: Serialize>(&self, kind: &str, item: &T) -> Result<(), CliError> {
        self.value(&Kinded::new(kind, item)).map(|text| lines(&text))
    }

    /// True where a person reads the output.
    pub(crate) fn for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    pub(crate) fn text(&self, text: &str) {
        lines(text);
    }

    /// A note for people, unless `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            note_line(text);
        }
    }

    pub(crate) fn fail(&self, error: &CliError) -> ExitCode {
        if self.for_people() {
            note_line(&error.to_string());
        } else {
            let body = serde_json::json!({ "error": {
                "code": error.exit.code(),
                "message": format!("{}: {}", error.what, error.why),
                "hint": error.next,
                "requestId": error.request_id,
            }});
            note_line(&body.to_string());
        }
        ExitCode::from(error.exit as u8)
    }

    fn table<T: Row>(&self, items: &[T]) -> String {
        let wide = self.format == Format::Wide;
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(T::columns(wide));
        for item in items {
            table.add_row(item.cells(wide));
        }
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, 2));
        });
        table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    fn value<T: Serialize>(&self, value: &T) -> Result<String, CliError> {
        match self.format {
            Format::Json => pretty(value),
            Format::Jsonl => json_line(value),
            _ => {
                let text = serde_saphyr::to_string(value);
                let text = text.map_err(|e| CliError::internal(&e.to_string()))?;
                Ok(text.trim_end().to_owned())
            }
        }
    }
}

/// A single value with its version and kind, as the JSON contract has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Kinded<'a, T> {
    api_version: &'static str,
    kind: &'a str,
    #[serde(flatten)]
    item: &'a T,
}

impl<'a, T> Kinded<'a, T> {
    fn new(kind: &'a str, item: &'a T) -> Self {
        Self { api_version: API_VERSION, kind, item }
    }
}

fn pretty<T: Serialize>(value: &T) -> Result<String, CliError> {
    serde_json::to_string_pretty(value).map_err(|e| CliError::internal(&e.to_string()))
}

fn json_line<T: Serialize>(value: &T) -> Result<String, CliError> {
    serde_json::to_string(value).map_err(|e| CliError::internal(&e.to_string()))
}

/// Data on standard output; a reader that has gone away (`| head`) ends the lines, not the program.
fn lines(text: &str) {
    use std::io::Write;
    if !text.is_empty() {
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }
}

#[cfg(test)]
mod tests;
