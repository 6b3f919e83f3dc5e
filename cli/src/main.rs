//! The `trireme` binary: parses the arguments, runs one command, returns its exit code.
#![forbid(unsafe_code)]

mod args;
mod client;
mod commands;
mod config_file;
mod context;
mod error;
mod output;
mod shutdown;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = output::Output::new(&cli.global);
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return output.fail(&error::CliError::internal("the TLS provider is already set"));
    }
    terminal::start_logging(&cli);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return output.fail(&error::CliError::internal(&e.to_string())),
    };
    let result = runtime.block_on(commands::run(cli, &output));
    // A blocked read of standard input must not keep the process alive.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output.fail(&error),
    }
}
