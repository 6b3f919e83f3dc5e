//! `trireme context`: which clusters this user knows, and which one is meant.

use std::path::Path;

use protocol::admin::{API_VERSION, List};
use serde::Serialize;
use utoipa::ToSchema;

use super::confirm;
use crate::args::{ContextCommand, Global};
use crate::context::Context;
use crate::error::CliError;
use crate::output::Output;

/// One known cluster; its key stays where it is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContextView {
    pub name: String,
    pub current: bool,
    pub api: String,
    /// Whether a key is saved for it.
    pub has_key: bool,
    /// Whether its CA certificate is saved.
    pub has_ca: bool,
}

pub(crate) fn run(
    command: ContextCommand,
    global: &Global,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        ContextCommand::Ls => output.list(&List {
            api_version: API_VERSION.to_owned(),
            kind: "ContextList".to_owned(),
            items: Context::all()?.into_iter().map(view).collect(),
        }),
        ContextCommand::Use { name } => {
            Context::select(&name)?;
            output.note(&format!("commands mean {name} now"));
            Ok(())
        }
        ContextCommand::Add { name, ca } => add(&name, ca.as_deref(), global, output),
        ContextCommand::Rm { name, yes } => {
            let context = Context::named(&name)?;
            let key = if context.key.is_some() { " and its saved key" } else { "" };
            confirm(&format!("{name} ({}){key} will be forgotten here", context.api), yes)?;
            Context::forget(&name)?;
            output.note(&format!("{name} is forgotten"));
            Ok(())
        }
    }
}

fn view((name, current, context): (String, bool, Context)) -> ContextView {
    ContextView {
        name,
        current,
        has_key: context.key.is_some(),
        has_ca: context.ca_pem.is_some(),
        api: context.api,
    }
}

fn add(name: &str, ca: Option<&Path>, global: &Global, output: &Output) -> Result<(), CliError> {
    let Some(api) = &global.api else {
        return Err(CliError::usage("a context needs an address", "name it with --api"));
    };
    if !api.starts_with("http://") && !api.starts_with("https://") {
        let why = "expected http://HOST:PORT or https://HOST:PORT";
        return Err(CliError::usage(format!("--api is `{api}`"), why));
    }
    let ca_pem = ca.map(std::fs::read_to_string).transpose().map_err(|e| {
        let path = ca.unwrap_or(Path::new("")).display();
        CliError::usage(format!("cannot read the certificate {path}"), e.to_string())
    })?;
    let key = Context::key_of(global)?;
    let path = Context { api: api.clone(), ca_pem, key }.save(name)?;
    output.note(&format!("{name} is saved in {} and is the current one", path.display()));
    Ok(())
}
