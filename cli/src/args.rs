//! The argument grammar: every command, flag, default and example.

mod asking;
mod node_process;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use asking::{ActivationArg, Chat, Generate, KvArg, Placement, Plan};
pub(crate) use node_process::{Coordinator, Up, Worker};

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
    /// API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
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

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Make this machine the first coordinator of a new cluster.
    #[command(
        after_help = "Examples:\n  trireme cluster init --name lab --listen 10.0.0.11:7443\n  \
                            trireme cluster init --data-dir ./state"
    )]
    Init(ClusterInit),
    /// Leader, quorum, nodes, deployments.
    #[command(after_help = "Examples:\n  trireme cluster status\n  trireme cluster status -o json")]
    Status,
    /// Make a token that lets machines join.
    #[command(after_help = "Examples:\n  trireme cluster join-token\n  \
                            trireme cluster join-token --role coordinator --uses 2 --ttl 3600")]
    JoinToken {
        #[arg(long, value_enum, default_value_t = RoleArg::Worker)]
        role: RoleArg,
        /// Seconds until it expires.
        #[arg(long, default_value_t = 3600)]
        ttl: u64,
        /// Machines that may join with it.
        #[arg(long, default_value_t = 5)]
        uses: u32,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ClusterInit {
    /// The cluster's name.
    #[arg(long, default_value = "trireme")]
    pub name: String,
    /// The node's name; the host name and `-coordinator` when absent.
    #[arg(long)]
    pub node_name: Option<String>,
    #[arg(long, env = "TRIREME_DATA_DIR", default_value = "/var/lib/trireme")]
    pub data_dir: PathBuf,
    /// Address of node traffic, as other machines reach it.
    #[arg(long, default_value = "127.0.0.1:7443")]
    pub listen: String,
    /// Address of the API, as clients reach it.
    #[arg(long, default_value = "127.0.0.1:8443")]
    pub api_listen: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    Worker,
    Coordinator,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Join this machine to a cluster.
    #[command(after_help = "Examples:\n  trireme node join trj1....@10.0.0.11:7443\n  \
                            trireme node join --name b2 --data-dir ./b2 trj1....@10.0.0.11:7443")]
    Join(NodeJoin),
    /// List the nodes.
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  trireme node ls\n  trireme node ls -o wide"
    )]
    Ls,
    /// Everything about one node.
    #[command(
        after_help = "Examples:\n  trireme node describe b2\n  trireme node describe b2 -o yaml"
    )]
    Describe { node: String },
    /// Remove a node from the cluster; what it held is planned anew.
    #[command(
        visible_alias = "remove",
        after_help = "Examples:\n  trireme node rm b2\n  trireme node rm b2 --yes"
    )]
    Rm {
        node: String,
        #[command(flatten)]
        wait: Wait,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NodeJoin {
    /// Token of `trireme cluster join-token`.
    pub token: String,
    /// The node's name; the host name when absent, with `-coordinator` for one.
    #[arg(long)]
    pub name: Option<String>,
    #[arg(long, env = "TRIREME_DATA_DIR", default_value = "/var/lib/trireme")]
    pub data_dir: PathBuf,
    #[arg(long, value_enum, default_value_t = RoleArg::Worker)]
    pub role: RoleArg,
    /// Coordinators: address of node traffic, as other machines reach it.
    #[arg(long, default_value = "127.0.0.1:7443")]
    pub listen: String,
    /// Coordinators: address of the API, as clients reach it.
    #[arg(long, default_value = "127.0.0.1:8443")]
    pub api_listen: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Make a model on a worker's disk known to the cluster.
    #[command(
        after_help = "Examples:\n  trireme model import /models/llama-3.3-70b-q4_k_m.gguf\n  \
                            trireme model import ./qwen --name qwen --node b2"
    )]
    Import {
        /// GGUF file or Hugging Face directory, as the worker sees it.
        path: PathBuf,
        /// Name to serve it under.
        #[arg(long)]
        name: Option<String>,
        /// Worker whose disk holds it.
        #[arg(long)]
        node: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// List the models.
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  trireme model ls\n  trireme model ls -o json"
    )]
    Ls,
    /// Everything about one model.
    #[command(after_help = "Examples:\n  trireme model describe demo\n  \
                      trireme model describe demo -o json")]
    Describe { model: String },
    /// What a model on this machine's disk is, and what of it would not work; needs no cluster.
    #[command(after_help = "Examples:\n  trireme model inspect ./llama-3.2-3b-q4_k_m.gguf\n  \
                            trireme model inspect ./Qwen2.5-7B-Instruct -o json")]
    Inspect {
        /// GGUF file (the first of several) or Hugging Face directory.
        path: PathBuf,
    },
    /// Plan a model, place it, serve it.
    #[command(after_help = "Examples:\n  trireme model deploy demo\n  \
                            trireme model deploy llama --pp 3 --context-length 8192\n  \
                            trireme model deploy llama --tp 2")]
    Deploy {
        model: String,
        #[command(flatten)]
        options: Placement,
        #[command(flatten)]
        wait: Wait,
    },
    /// Stop serving a model; its weights stay on the disks.
    #[command(
        after_help = "Examples:\n  trireme model undeploy demo\n  trireme model undeploy demo --yes"
    )]
    Undeploy {
        model: String,
        #[command(flatten)]
        wait: Wait,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
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

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make an API key; it is shown once.
    #[command(after_help = "Examples:\n  trireme keys create ci-bot\n  \
                      trireme keys create ops --role admin")]
    Create {
        name: String,
        #[arg(long, value_enum, default_value_t = KeyRoleArg::User)]
        role: KeyRoleArg,
    },
    /// List the keys.
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  trireme keys ls\n  trireme keys ls -o json"
    )]
    Ls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyRoleArg {
    User,
    Admin,
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
