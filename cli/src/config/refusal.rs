//! The argument parser's refusals in our three lines.

use std::ffi::OsString;

use clap::error::ErrorKind;

use super::Unread;
use crate::args::named;
use crate::error::CliError;

pub(super) fn told(error: clap::Error, arguments: &[OsString]) -> Unread {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    if [DisplayHelp, DisplayVersion, DisplayHelpOnMissingArgumentOrSubcommand]
        .contains(&error.kind())
    {
        return Unread::Shown(error);
    }
    let (what, why) = parts(&error);
    let command = named(arguments);
    let command = if command.is_empty() { command } else { format!(" {command}") };
    let next = format!("see: trireme{command} --help");
    Unread::Bad(CliError { next, ..CliError::usage(what, why) })
}

/// What is wrong, and why as far as it is said: the parser's message, its lists and tips.
pub(super) fn parts(error: &clap::Error) -> (String, String) {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let (what, reason) = match what.split_once("': ") {
        Some((what, reason)) => (format!("{what}'"), Some(reason.to_owned())),
        None => (what.trim_end_matches(':').to_owned(), None),
    };
    let said = lines.take_while(|line| !line.starts_with("For more information"));
    let said = said.map(|line| match line.strip_prefix("[possible values: ") {
        Some(values) => format!("expected one of {}", values.trim_end_matches(']')),
        None => line.trim_start_matches("tip: ").replace("Usage: ", "usage: "),
    });
    let why: Vec<String> = reason.into_iter().chain(said).collect();
    (what, why.join("; "))
}
