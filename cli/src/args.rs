//! The argument grammar: every command, flag, default and example.

mod asking;
mod audit;
mod cluster;
mod keys;
mod members;
mod model;
mod node;
mod node_process;
mod op;
mod quantity;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use asking::{ActivationArg, Chat, Generate, KvArg, Placement, Plan};
pub(crate) use audit::AuditCommand;
pub(crate) use cluster::{
    CaCommand, ClusterCommand, ClusterInit, JoinToken, JoinTokenCommand, RoleArg,
};
pub(crate) use keys::{KeyRoleArg, KeysCommand, Limits as KeyLimitsArgs};
pub(crate) use members::MembersCommand;
pub(crate) use model::ModelCommand;
pub(crate) use node::{NodeCommand, NodeDrain, NodeJoin, OnNoFitArg};
pub(crate) use node_process::{Coordinator, Up, Worker};
pub(crate) use op::OpCommand;

#[derive(Debug, Parser)]
#[command(
    name = "trireme",
    version,
    about = "One inference cluster out of a few machines, for models too large for any one of them",
    after_help = "Examples:\n  \
                  trireme up                three nodes on this machine, and a chat\n  \
                  trireme generate \"Hello\"  one process, no cluster\n  trireme node ls\n\n\
                  Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 forbidden, 5 unreachable\n\
                  or no quorum, 6 precondition, 7 does not fit, 8 wait timed out (work goes on),\n\
                  130 interrupted"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// API address, e.g. http://127.0.0.1:8443; from the context file when absent.
    #[arg(long, global = true, env = "TRIREME_API")]
    pub api: Option<String>,
    /// Context to use, of those in the context file.
    #[arg(long, global = true, env = "TRIREME_CONTEXT")]
    pub context: Option<String>,
    /// File with the API key; from the context file when absent.
    #[arg(long, global = true, env = "TRIREME_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// No progress and no notes.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// No colours; also with NO_COLOR or TERM=dumb.
    #[arg(long, global = true)]
    pub no_color: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Wide,
    Json,
    Jsonl,
    Yaml,
    Name,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a whole cluster on this machine, split a model over it, and chat.
    Up(Up),
    /// Run a coordinator (started by a service, or by `up`).
    Coordinator(Coordinator),
    /// Run a worker (started by a service, or by `up`).
    Worker(Worker),
    /// Create a cluster, see how it is, let others join.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// The machines of the cluster.
    #[command(subcommand)]
    Node(NodeCommand),
    /// The models of the cluster.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Show where a model would run and how fast, without changing anything.
    Plan(Plan),
    /// Talk to a model of the cluster.
    Chat(Chat),
    /// Run a model in this one process, without a cluster.
    Generate(Generate),
    /// Long operations: what runs, what became of it.
    #[command(subcommand)]
    Op(OpCommand),
    /// API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Who changed what and when, as a chain that shows tampering.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// This binary's version.
    #[command(after_help = "Examples:\n  trireme version\n  trireme version -o json")]
    Version,
    /// Print a completion script for a shell.
    #[command(
        after_help = "Examples:\n  trireme completion bash > /etc/bash_completion.d/trireme\n  \
                            trireme completion zsh > ~/.zfunc/_trireme"
    )]
    Completion { shell: clap_complete::Shell },
}

/// Whether and how long to wait for an operation.
#[derive(Clone, Debug, Args)]
pub(crate) struct Wait {
    /// Print the operation's id and return at once.
    #[arg(long)]
    pub no_wait: bool,
    /// Seconds to wait; the work continues after it.
    #[arg(long, default_value_t = 3600)]
    pub timeout: u64,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Commands that do something, with their whole names.
    fn leaves(command: &clap::Command, name: &str) -> Vec<(String, clap::Command)> {
        let name = format!("{name} {}", command.get_name()).trim().to_owned();
        if command.get_subcommands().next().is_none() {
            return vec![(name, command.clone())];
        }
        command.get_subcommands().flat_map(|c| leaves(c, &name)).collect()
    }

    #[test]
    fn every_command_shows_two_examples() {
        Cli::command().debug_assert();
        for (name, command) in leaves(&Cli::command(), "") {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.lines().filter(|line| line.trim_start().starts_with("trireme"));
            assert!(help.starts_with("Examples:") && examples.count() >= 2, "{name}: {help}");
        }
    }
}
