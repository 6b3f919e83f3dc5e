//! `trireme config`: options in force with their origins, and files with the defaults.

use protocol::admin::{API_VERSION, List};

use crate::args::{ConfigCommand, command};
use crate::config::{InForce, OptionView, Unread, documented, read, subcommand};
use crate::error::CliError;
use crate::output::Output;

pub(crate) fn run(asked: ConfigCommand, output: &Output) -> Result<(), CliError> {
    match asked {
        ConfigCommand::Defaults { service } => {
            output.text(documented(&subcommand(&command(), service.name())).trim_end());
            Ok(())
        }
        ConfigCommand::Show { service, origin, flags } => {
            let found = match service {
                Some(service) => InForce::of_service(service.name(), &flags)?,
                None => of_this_command()?,
            };
            show(found.items, origin, output)
        }
    }
}

fn of_this_command() -> Result<InForce, CliError> {
    let words: Vec<_> = std::env::args_os().collect();
    match read(&words) {
        Ok(read) => InForce::of_client(&read.matches),
        Err(Unread::Bad(error)) => Err(error),
        Err(Unread::Shown(shown)) => Err(CliError::internal(&shown.to_string())),
    }
}

fn show(items: Vec<OptionView>, origin: bool, output: &Output) -> Result<(), CliError> {
    if output.for_people() && !origin {
        for option in &items {
            output.text(&format!("{} = {}", option.name, option.value.as_deref().unwrap_or("-")));
        }
        return Ok(());
    }
    let (api_version, kind) = (API_VERSION.to_owned(), "OptionList".to_owned());
    output.list(&List { api_version, kind, items })
}
