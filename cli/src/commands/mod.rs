//! One file per command.

mod audit;
mod ca;
mod chat;
mod cluster;
mod coordinator;
mod duty;
mod events;
mod generate;
mod inspect;
mod keys;
mod members;
mod model;
mod node;
mod op;
mod operation;
pub(crate) mod plan;
pub(crate) mod up;
mod version;
mod worker;

use std::io::IsTerminal;

use crate::args::{Cli, Command};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

pub(crate) async fn run(cli: Cli, output: &Output) -> Result<(), CliError> {
    let client = || Client::new(&cli.global);
    match cli.command {
        Command::Up(args) => up::run(args, output).await,
        Command::Coordinator(args) => coordinator::run(args).await,
        Command::Worker(args) => worker::run(args).await,
        Command::Cluster(command) => cluster::run(command, &cli.global, output).await,
        Command::Node(command) => node::run(command, &cli.global, output).await,
        Command::Model(command) => model::run(command, &client()?, output).await,
        Command::Plan(args) => plan::run(args, &client()?, output).await,
        Command::Chat(args) => chat::run(args, &client()?, output).await,
        Command::Generate(args) => generate::run(args, output).await,
        Command::Op(command) => op::run(command, &client()?, output).await,
        Command::Keys(command) => keys::run(command, &client()?, output).await,
        Command::Audit(command) => audit::run(command, client, output).await,
        Command::Version => version::run(output),
        Command::Completion { shell } => {
            version::completion(shell);
            Ok(())
        }
    }
}

/// Asks before something is destroyed; where nobody can answer, says how to run it unasked.
pub(crate) fn confirm(effect: &str, yes: bool, rerun: &str) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let why = format!("{effect}; and standard input is not a terminal");
        let next = format!("run: {rerun} --yes");
        return Err(CliError { next, ..CliError::usage("this asks for confirmation", why) });
    }
    match inquire::Confirm::new(&format!("{effect}. Go on?")).with_default(false).prompt() {
        Ok(true) => Ok(()),
        _ => Err(CliError::new(crate::error::Exit::Failed, "not confirmed", "nothing changed", "")),
    }
}
