//! Arguments of `trireme config`.

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// The options in force: of commands that ask a cluster, or of a service on this machine.
    #[command(after_help = "Examples:\n  trireme config show --origin\n  \
                      trireme config show worker --origin -- --memory-limit 20GiB\n  \
                      trireme config show coordinator -- --config ./coordinator.toml")]
    Show {
        #[arg(value_enum)]
        service: Option<ServiceArg>,
        /// Show where each value is from: flag, env, file or default.
        #[arg(long)]
        origin: bool,
        /// Flags that the service is started with.
        #[arg(last = true, requires = "service")]
        flags: Vec<String>,
    },
    /// A service's file with every option and its default, to start from.
    #[command(after_help = "Examples:\n  trireme config defaults worker > worker.toml\n  \
                      trireme config defaults coordinator")]
    Defaults {
        #[arg(value_enum)]
        service: ServiceArg,
    },
}

/// The commands that a service manager starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceArg {
    Coordinator,
    Worker,
}

impl ServiceArg {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
        }
    }
}
