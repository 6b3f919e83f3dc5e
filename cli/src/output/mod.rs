//! Results on standard output, in the format that was asked for.

pub(crate) mod bytes;
mod rows;

use std::process::ExitCode;

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

    pub(crate) fn list<T: Row>(&self, list: &List<T>) -> Result<(), CliError> {
        match self.format {
            Format::Table | Format::Wide => self.table(&list.items),
            Format::Jsonl => list.items.iter().try_for_each(|item| self.json_line(item)),
            Format::Name => {
                list.items.iter().for_each(|item| line(&item.name()));
                Ok(())
            }
            Format::Json | Format::Yaml => self.value(list),
        }
    }

    /// One thing: a table of one row, or the whole value under its kind.
    pub(crate) fn one<T: Row>(&self, kind: &str, item: &T) -> Result<(), CliError> {
        match self.format {
            Format::Table | Format::Wide => self.table(std::slice::from_ref(item)),
            Format::Name => {
                line(&item.name());
                Ok(())
            }
            Format::Json | Format::Yaml | Format::Jsonl => self.value(&Kinded::new(kind, item)),
        }
    }

    /// A value that has no table: YAML reads well enough.
    pub(crate) fn describe<T: Serialize>(&self, kind: &str, item: &T) -> Result<(), CliError> {
        self.value(&Kinded::new(kind, item))
    }

    /// True where a person reads the output.
    pub(crate) fn for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    pub(crate) fn text(&self, text: &str) {
        line(text);
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

    fn table<T: Row>(&self, items: &[T]) -> Result<(), CliError> {
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
        for row in table.to_string().lines() {
            line(row.trim_end());
        }
        Ok(())
    }

    fn value<T: Serialize>(&self, value: &T) -> Result<(), CliError> {
        match self.format {
            Format::Json => line(&pretty(value)?),
            Format::Jsonl => self.json_line(value)?,
            _ => {
                let text = serde_saphyr::to_string(value);
                let text = text.map_err(|e| CliError::internal(&e.to_string()))?;
                line(text.trim_end());
            }
        }
        Ok(())
    }

    fn json_line<T: Serialize>(&self, value: &T) -> Result<(), CliError> {
        let text = serde_json::to_string(value);
        line(&text.map_err(|e| CliError::internal(&e.to_string()))?);
        Ok(())
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

/// Data on standard output; a reader that has gone away (`| head`) ends the line, not the program.
fn line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
