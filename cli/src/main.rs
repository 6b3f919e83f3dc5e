//! The `trireme` binary: parses the arguments, runs one command, returns its exit code.
#![forbid(unsafe_code)]

mod args;
mod client;
mod commands;
mod completion;
mod config;
mod context;
mod doctor;
mod error;
mod kept_log;
mod output;
mod service;
mod shutdown;
mod terminal;

use std::process::ExitCode;

use crate::config::Unread;
use crate::output::{Output, schema};

fn main() -> ExitCode {
    completion::answer_shell();
    let words: Vec<_> = std::env::args_os().collect();
    if let Some(asked) = schema::asked(&words) {
        return schema::print(&asked, &Output::of_words(&words));
    }
    let cli = match config::parse(&words) {
        Ok(cli) => cli,
        Err(Unread::Bad(error)) => return Output::of_words(&words).fail(&error),
        Err(Unread::Shown(shown)) => {
            // A reader that has gone away needs no help.
            let _ = shown.print();
            return ExitCode::from(u8::from(shown.use_stderr()) * 2);
        }
    };
    let output = Output::new(&cli.global);
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return output.fail(&error::CliError::internal("the TLS provider is already set"));
    }
    let log = terminal::start_logging(&cli);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return output.fail(&error::CliError::internal(&e.to_string())),
    };
    let result = runtime.block_on(commands::run(cli, &output, log));
    // A blocked read of standard input must not keep the process alive.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output.fail(&error),
    }
}
