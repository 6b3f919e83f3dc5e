//! `trireme version` and `trireme completion`.

use clap::CommandFactory;
use serde::Serialize;

use crate::args::Cli;
use crate::error::CliError;
use crate::output::Output;

#[derive(Serialize)]
struct Version {
    version: &'static str,
    frame_version: u16,
}

pub(crate) fn run(output: &Output) -> Result<(), CliError> {
    let version = env!("CARGO_PKG_VERSION");
    if output.for_people() {
        output.text(&format!("trireme {version}"));
        return Ok(());
    }
    let frame_version = protocol::frame::FRAME_VERSION;
    output.describe("Version", &Version { version, frame_version })
}

pub(crate) fn completion(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "trireme", &mut std::io::stdout());
}
