//! Each option in force, and where its value is from.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Unread, options, read, subcommand};
use crate::args::command;
use crate::context::Context;
use crate::error::CliError;

/// All options of one command.
pub(crate) struct InForce {
    pub items: Vec<OptionView>,
}

/// One option as it is in force.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OptionView {
    pub name: String,
    /// None where the option has no value and no default.
    pub value: Option<String>,
    pub origin: Origin,
    /// The flag, variable or file; empty for a default.
    pub source: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    Flag,
    Env,
    File,
    Default,
}

impl InForce {
    /// Of `trireme SERVICE FLAGS...`.
    pub(crate) fn of_service(service: &str, flags: &[String]) -> Result<Self, CliError> {
        let words = ["trireme", service].into_iter().chain(flags.iter().map(String::as_str));
        let words: Vec<OsString> = words.map(OsString::from).collect();
        let read = read(&words).map_err(|unread| match unread {
            Unread::Bad(error) => error,
            Unread::Shown(shown) => CliError::usage("no options", shown.to_string()),
        })?;
        let grammar = subcommand(&command(), service);
        let none = ArgMatches::default();
        let matches = read.matches.subcommand().map_or(&none, |(_, own)| own);
        let view = |option: &Arg| {
            let key = option.get_id().as_str();
            let mut view = view_of(option, matches);
            if let Some(file) = read.file.as_ref().filter(|file| file.value(key).is_some())
                && view.origin == Origin::Default
            {
                (view.origin, view.source) = (Origin::File, file.path.display().to_string());
            }
            view
        };
        Ok(Self { items: options(&grammar).map(view).collect() })
    }

    /// Of commands that ask a cluster: `matches` are those of the running one.
    pub(crate) fn of_client(matches: &ArgMatches) -> Result<Self, CliError> {
        let grammar = command();
        let asked = grammar.get_arguments().filter(|option| {
            option.is_global_set() && option.get_env().is_some() && !option.is_hide_set()
        });
        let mut items: Vec<_> = asked.map(|option| view_of(option, matches)).collect();
        let saved = Context::saved(matches.get_one::<String>("context").map(String::as_str))?;
        for view in items.iter_mut().filter(|view| view.origin == Origin::Default) {
            let from_file = match view.name.as_str() {
                "context" => saved.as_ref().map(|(name, _)| name.clone()),
                "api" => saved.as_ref().map(|(_, context)| context.api.clone()),
                // What the key is, is nobody's business.
                "key_file" => {
                    saved.as_ref().and_then(|(_, c)| c.key.as_ref()).map(|_| "set".into())
                }
                _ => None,
            };
            if from_file.is_some() {
                view.value = from_file;
                view.origin = Origin::File;
                view.source = Context::path().display().to_string();
            } else if view.name == "api" {
                view.value = Some(crate::context::DEFAULT_API.to_owned());
            }
        }
        Ok(Self { items })
    }
}

fn view_of(option: &Arg, matches: &ArgMatches) -> OptionView {
    let key = option.get_id().as_str();
    let raw = matches.try_get_raw(key).ok().flatten();
    let value = raw.map(|values| {
        let values: Vec<_> = values.map(|v| v.to_string_lossy().into_owned()).collect();
        values.join(",")
    });
    let (origin, source) = match matches.value_source(key) {
        Some(ValueSource::CommandLine) => {
            (Origin::Flag, format!("--{}", option.get_long().unwrap_or(key)))
        }
        Some(ValueSource::EnvVariable) => {
            let variable = option.get_env().unwrap_or_default();
            (Origin::Env, variable.to_string_lossy().into_owned())
        }
        _ => (Origin::Default, String::new()),
    };
    OptionView { name: key.to_owned(), value, origin, source }
}
