//! Options in layers: flags over `TRIREME_*` over a file over defaults. The argument grammar is the
//! only description of them: names, variables, keys, checks, defaults and docs all follow from it.

mod defaults;
mod file;
pub(crate) mod in_force;
mod refusal;

use std::ffi::OsString;

use clap::{Arg, ArgMatches, Command, FromArgMatches};

use crate::args::{Cli, command, named};
use crate::error::CliError;

pub(crate) use defaults::documented;
pub(crate) use file::nearest;
pub(crate) use in_force::{InForce, OptionView};

/// Commands whose options a file may hold too.
pub(crate) const SERVICES: [&str; 2] = ["coordinator", "worker"];

/// A command line read in all its layers.
pub(crate) struct Read {
    pub matches: ArgMatches,
    /// As far as it was a service's.
    pub file: Option<file::OptionFile>,
}

/// Why a command line is not run.
pub(crate) enum Unread {
    /// Help or version, as clap prints them.
    Shown(clap::Error),
    Bad(CliError),
}

impl From<CliError> for Unread {
    fn from(error: CliError) -> Self {
        Self::Bad(error)
    }
}

/// Reads the command line; a service's with its file.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Cli, Unread> {
    let read = read(arguments)?;
    Cli::from_arg_matches(&read.matches).map_err(|e| refusal::told(e, arguments))
}

pub(crate) fn read(arguments: &[OsString]) -> Result<Read, Unread> {
    let grammar = command();
    check_variables(&grammar, arguments)?;
    let matches =
        grammar.clone().try_get_matches_from(arguments).map_err(|e| refusal::told(e, arguments))?;
    let Some((service, own)) = matches.subcommand().filter(|(name, _)| SERVICES.contains(name))
    else {
        return Ok(Read { matches, file: None });
    };
    let Some(path) = own.get_one::<std::path::PathBuf>("config") else {
        return Ok(Read { matches, file: None });
    };
    let described = subcommand(&grammar, service);
    let file = file::OptionFile::read(path, &described)?;
    // A file's value is a default to all that stands before it.
    let layered = grammar.mut_subcommands(|command| match command.get_name() == service {
        true => command.mut_args(|option| match file.value(option.get_id().as_str()) {
            Some(value) => option.default_value(value.to_owned()),
            None => option,
        }),
        false => command,
    });
    let matches =
        layered.try_get_matches_from(arguments).map_err(|e| refusal::told(e, arguments))?;
    Ok(Read { matches, file: Some(file) })
}

/// The options that a file may hold: the service's own, but for what names the file itself.
pub(crate) fn options(service: &Command) -> impl Iterator<Item = &Arg> {
    service.get_arguments().filter(|option| is_option(option))
}

pub(crate) fn is_option(argument: &Arg) -> bool {
    let id = argument.get_id().as_str();
    !argument.is_hide_set() && !argument.is_global_set() && !["config", "help"].contains(&id)
}

pub(crate) fn subcommand(grammar: &Command, name: &str) -> Command {
    grammar.find_subcommand(name).cloned().unwrap_or_default()
}

/// What is wrong with `text` as the value of `option`, as its own parser says it.
fn check(option: &Arg, text: &str) -> Result<(), String> {
    let id = option.get_id().as_str().to_owned();
    let alone = option.clone().env(None::<&str>).long(id.clone());
    let parsed = Command::new("option")
        .arg(alone)
        .try_get_matches_from([OsString::from("option"), format!("--{id}={text}").into()]);
    let Err(error) = parsed else { return Ok(()) };
    let (what, why) = refusal::parts(&error);
    Err(if why.is_empty() { what } else { why })
}

/// A bad value in a variable is named by the variable, which the parser would call a flag.
fn check_variables(grammar: &Command, arguments: &[OsString]) -> Result<(), CliError> {
    let service = named(arguments);
    if !SERVICES.contains(&service.as_str()) {
        return Ok(());
    }
    for option in options(&subcommand(grammar, &service)) {
        let Some(variable) = option.get_env().and_then(|v| v.to_str()) else { continue };
        let Some(text) = std::env::var_os(variable) else { continue };
        let text = text.to_string_lossy();
        check(option, &text)
            .map_err(|why| CliError::usage(format!("{variable} is `{text}`"), why))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
