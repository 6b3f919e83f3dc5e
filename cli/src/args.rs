//! The argument grammar: every command, flag, default and example.

mod asking;
mod audit;
mod cluster;
mod config;
mod context;
mod doctor;
mod keys;
mod members;
mod model;
mod node;
mod op;
mod quantity;
mod service;
mod settings;
mod snapshot;
mod up;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCandidates;

pub(crate) use asking::{ActivationArg, Chat, Generate, KvArg, Placement, Plan};
pub(crate) use audit::AuditCommand;
pub(crate) use cluster::{
    CaCommand, ClusterCommand, ClusterInit, JoinToken, JoinTokenCommand, NewToken, RoleArg,
};
pub(crate) use config::ConfigCommand;
pub(crate) use context::ContextCommand;
pub(crate) use doctor::Doctor;
pub(crate) use keys::{KeyRoleArg, KeysCommand, Limits as KeyLimitsArgs};
pub(crate) use members::MembersCommand;
pub(crate) use model::ModelCommand;
pub(crate) use node::{NodeCommand, NodeDrain, NodeJoin, NodeLogs, OnNoFitArg};
pub(crate) use op::OpCommand;
pub(crate) use service::{Coordinator, Worker};
pub(crate) use settings::{Destroy, SettingsCommand};
pub(crate) use snapshot::{SnapshotCommand, SnapshotRestore};
pub(crate) use up::Up;

use crate::completion;
use crate::config::{SERVICES, is_option};

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
    /// Print the JSON schema of this command's output, and do nothing else.
    #[arg(long, global = true)]
    pub json_schema: bool,
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
    /// Say what is wrong on this machine and in the cluster, and what helps.
    Doctor(Doctor),
    /// API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Who changed what and when, as a chain that shows tampering.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The clusters that you know, and which of them is meant.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Options: which are in force, and all that there are.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// This binary's version, or that of every node.
    #[command(after_help = "Examples:\n  trireme version\n  trireme version --all-nodes -o json")]
    Version {
        /// Ask the cluster for every member's.
        #[arg(long)]
        all_nodes: bool,
    },
    /// Print what makes a shell complete commands, and names of nodes, models and contexts.
    #[command(
        after_help = "Examples:\n  trireme completion bash > /etc/bash_completion.d/trireme\n  \
                            trireme completion zsh > ~/.zfunc/_trireme"
    )]
    Completion {
        #[arg(value_enum)]
        shell: ShellArg,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellArg {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// The grammar as it is used: the services' options with their variables, names with what a shell
/// may complete them from.
pub(crate) fn command() -> clap::Command {
    let grammar = Cli::command().mut_subcommands(|command| {
        if !SERVICES.contains(&command.get_name()) {
            return command;
        }
        command.mut_args(|option| match is_option(&option) {
            true => {
                let variable = format!("TRIREME_{}", option.get_id().as_str().to_uppercase());
                option.env(variable)
            }
            false => option,
        })
    });
    completed(grammar)
}

/// The command that the words name, as far as they name one: `node ls`.
pub(crate) fn named(words: &[OsString]) -> String {
    let mut at = command();
    let mut names: Vec<String> = Vec::new();
    for word in words.iter().skip(1).take_while(|word| *word != "--") {
        if let Some(next) = at.find_subcommand(word).cloned() {
            names.push(next.get_name().to_owned());
            at = next;
        }
    }
    names.join(" ")
}

/// Where an argument names a node, a model or a context, it is completed from those there are.
fn completed(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_id().as_str() {
        "node" | "without" => argument.add(ArgValueCandidates::new(completion::nodes)),
        "model" if argument.get_action().takes_values() && argument.is_positional() => {
            argument.add(ArgValueCandidates::new(completion::models))
        }
        "context" => argument.add(ArgValueCandidates::new(completion::contexts)),
        _ => argument,
    });
    command.mut_subcommands(completed)
}

/// Whether and how long to wait for an operation.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Wait {
    /// Print the operation's id and return at once.
    #[arg(long)]
    pub no_wait: bool,
    /// Seconds to wait; the work continues after it.
    #[arg(long, default_value_t = 3600)]
    pub timeout: u64,
}

/// Commands that do something, with their names.
#[cfg(test)]
pub(crate) fn leaves(grammar: &clap::Command) -> Vec<(String, clap::Command)> {
    fn below(command: &clap::Command, name: &str) -> Vec<(String, clap::Command)> {
        let whole = |c: &clap::Command| format!("{name} {}", c.get_name()).trim().to_owned();
        let own =
            (!command.is_subcommand_required_set()).then(|| (name.to_owned(), command.clone()));
        let below = command.get_subcommands().flat_map(|c| below(c, &whole(c)));
        own.into_iter().chain(below).collect()
    }
    below(grammar, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_shows_two_examples() {
        command().debug_assert();
        for (name, command) in leaves(&command()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.lines().filter(|line| line.contains("trireme "));
            assert!(help.starts_with("Examples:") && examples.count() >= 2, "{name}: {help}");
        }
    }

    #[test]
    fn help_fits_a_screen() {
        for (name, mut command) in leaves(&command()) {
            let lines = command.render_help().to_string().lines().count();
            // `up` and `worker` have many options, each worth a line.
            assert!(lines <= 70, "{name}: {lines} lines");
        }
    }

    #[test]
    fn what_destroys_asks_first_and_can_be_tried() {
        for (name, command) in leaves(&command()) {
            let has = |id: &str| command.get_arguments().any(|a| a.get_id() == id);
            let destroys = [" rm", " undeploy", " destroy"].iter().any(|verb| name.ends_with(verb));
            assert!(!destroys || has("yes"), "{name} has no --yes");
        }
    }
}
