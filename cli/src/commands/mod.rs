//! One file per command.

pub(crate) mod audit;
mod ca;
mod chat;
mod cluster;
pub(crate) mod config;
pub(crate) mod context;
mod coordinator;
mod destroy;
pub(crate) mod doctor;
mod duty;
pub(crate) mod effect;
mod events;
mod generate;
pub(crate) mod inspect;
mod join_token;
mod keys;
mod logs;
mod members;
mod model;
pub(crate) mod node;
mod op;
mod operation;
pub(crate) mod plan;
mod settings;
mod snapshot;
pub(crate) mod up;
pub(crate) mod version;
mod worker;

use std::io::IsTerminal;

use protocol::log_ring::LogRing;

use crate::args::{Cli, Command};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

pub(crate) async fn run(cli: Cli, output: &Output, log: LogRing) -> Result<(), CliError> {
    let client = || Client::new(&cli.global);
    match cli.command {
        Command::Up(args) => up::run(args, output).await,
        Command::Coordinator(args) => coordinator::run(args, log).await,
        Command::Worker(args) => worker::run(args, log).await,
        Command::Cluster(command) => cluster::run(command, &cli.global, output).await,
        Command::Node(command) => node::run(command, &cli.global, output).await,
        Command::Model(command) => model::run(command, &client()?, output).await,
        Command::Plan(args) => plan::run(args, &client()?, output).await,
        Command::Chat(args) => chat::run(args, &client()?, output).await,
        Command::Generate(args) => generate::run(args, output).await,
        Command::Op(command) => op::run(command, &client()?, output).await,
        Command::Doctor(args) => doctor::run(args, &cli.global, output).await,
        Command::Keys(command) => keys::run(command, &client()?, output).await,
        Command::Audit(command) => audit::run(command, client, output).await,
        Command::Context(command) => context::run(command, &cli.global, output),
        Command::Config(command) => config::run(command, output),
        Command::Version { all_nodes: true } => version::of_nodes(&client()?, output).await,
        Command::Version { all_nodes: false } => version::run(output),
        Command::Completion { shell } => {
            output.text(crate::completion::script(shell)?.trim_end());
            Ok(())
        }
    }
}

/// Asks before something is destroyed; where nobody can answer, says how to run it unasked.
pub(crate) fn confirm(effect: &str, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        let why = format!("{effect}; and there is no terminal to ask on");
        let next = format!("run: {} --yes", this_command());
        return Err(CliError { next, ..CliError::usage("this asks for confirmation", why) });
    }
    match inquire::Confirm::new(&format!("{effect}. Go on?")).with_default(false).prompt() {
        Ok(true) => Ok(()),
        _ => Err(CliError::new(crate::error::Exit::Failed, "not confirmed", "nothing changed", "")),
    }
}

/// The running command as a shell takes it.
pub(crate) fn this_command() -> String {
    let words = std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
    std::iter::once("trireme".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(quoted("--data-dir=./b2"), "--data-dir=./b2");
        assert_eq!(quoted("two words"), "'two words'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
