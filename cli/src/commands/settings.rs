//! `trireme cluster config`: get, set, edit.

mod editing;

use std::collections::BTreeMap;

use protocol::admin::{List, SettingView, UpdateSettings};

use crate::args::SettingsCommand;
use crate::client::Client;
use crate::config::nearest;
use crate::error::CliError;
use crate::output::Output;

const PATH: &str = "/admin/v1/cluster/config";

/// Seconds by name; `None` takes the default again.
type Values = BTreeMap<String, Option<f64>>;

pub(crate) async fn run(
    command: SettingsCommand,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    // Settings that do not read need no cluster to be refused.
    let asked = match &command {
        SettingsCommand::Set { settings } => assignments(settings)?,
        SettingsCommand::Edit => {
            editing::check_terminal()?;
            Values::new()
        }
        SettingsCommand::Get { .. } => Values::new(),
    };
    let known: List<SettingView> = client.get(PATH).await?;
    match command {
        SettingsCommand::Get { key: None } => output.list(&known),
        SettingsCommand::Get { key: Some(key) } => {
            check_name(&key, &known.items)?;
            let items = known.items.into_iter().filter(|setting| setting.name == key).collect();
            output.list(&List { items, ..known })
        }
        SettingsCommand::Set { .. } => {
            asked.keys().try_for_each(|name| check_name(name, &known.items))?;
            output.list(&update(asked, client).await?)
        }
        SettingsCommand::Edit => editing::edit(&known.items, client, output).await,
    }
}

async fn update(values: Values, client: &Client) -> Result<List<SettingView>, CliError> {
    client.patch(PATH, &UpdateSettings(values)).await
}

/// `KEY=VALUE`, each key once.
fn assignments(settings: &[String]) -> Result<Values, CliError> {
    let mut values = Values::new();
    for setting in settings {
        let Some((name, value)) = setting.split_once('=') else {
            let why = "expected KEY=VALUE, e.g. failure_timeout=2".to_owned();
            return Err(CliError::usage(format!("setting `{setting}`"), why));
        };
        let seconds = match value {
            "default" => None,
            number => Some(number.parse().map_err(|_| {
                let why = "expected a number of seconds, or `default`".to_owned();
                CliError::usage(format!("{name} is `{number}`"), why)
            })?),
        };
        if values.insert(name.replace('-', "_"), seconds).is_some() {
            return Err(CliError::usage(format!("{name} is named twice"), "expected it once"));
        }
    }
    Ok(values)
}

fn check_name(name: &str, known: &[SettingView]) -> Result<(), CliError> {
    let names: Vec<&str> = known.iter().map(|setting| setting.name.as_str()).collect();
    if names.contains(&name) {
        return Ok(());
    }
    let why = match nearest(name, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are: {}", names.join(", ")),
    };
    let next = "see each: trireme cluster config get".to_owned();
    Err(CliError { next, ..CliError::usage(format!("there is no setting `{name}`"), why) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[&str]) -> Result<Values, CliError> {
        assignments(&settings.iter().map(|&s| s.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn settings_are_numbers_or_the_default_and_refused_by_name() {
        let values = read(&["failure-timeout=2.5", "drain_timeout=default"]).expect("settings");
        assert_eq!(values["failure_timeout"], Some(2.5));
        assert_eq!(values["drain_timeout"], None);
        for (bad, says) in [("rack", "KEY=VALUE"), ("rack=soon", "`soon`"), ("rack=", "rack")] {
            let error = read(&[bad]).expect_err(bad).to_string();
            assert!(error.contains(says), "{error}");
        }
        let error = read(&["a=1", "a=2"]).expect_err("twice").to_string();
        assert!(error.contains("named twice"), "{error}");
    }
}
