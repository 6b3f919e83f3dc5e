//! `trireme version` and `trireme completion`.

use clap::CommandFactory;
use serde::Serialize;

use crate::args::Cli;
use crate::error::CliError;
use crate::output::Output;

#[derive(Serialize)]
struct Version {
    version: &'static str,
    /// What this build has beyond the CPU.
    features: Vec<&'static str>,
    frame_version: u16,
}

pub(crate) fn run(output: &Output) -> Result<(), CliError> {
    let version = env!("CARGO_PKG_VERSION");
    let built = [("cuda", cfg!(feature = "cuda")), ("nccl", cfg!(feature = "nccl"))];
    let features: Vec<_> =
        built.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
    if output.for_people() {
        let with = features.join(" and ");
        let with = if with.is_empty() { with } else { format!(" with {with}") };
        output.text(&format!("trireme {version}{with}"));
        return Ok(());
    }
    let frame_version = protocol::frame::FRAME_VERSION;
    output.describe("Version", &Version { version, features, frame_version })
}

pub(crate) fn completion(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "trireme", &mut std::io::stdout());
}
