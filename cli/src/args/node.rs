//! Arguments of `trireme node`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{RoleArg, Wait};

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
    /// Plan nothing new on a worker; what it runs stays.
    #[command(after_help = "Examples:\n  trireme node cordon b2\n  trireme node cordon b2 -o json")]
    Cordon { node: String },
    /// Let a worker take new work again.
    #[command(
        after_help = "Examples:\n  trireme node uncordon b2\n  trireme node uncordon b2 -o json"
    )]
    Uncordon { node: String },
    /// Move what runs on a worker to the others, then cordon it; running answers go on there.
    #[command(after_help = "Examples:\n  trireme node drain b2\n  \
                      trireme node drain b2 --timeout 300 --on-no-fit stop --yes")]
    Drain(NodeDrain),
    /// Take back a drain, also one that is done.
    #[command(
        after_help = "Examples:\n  trireme node undrain b2\n  trireme node undrain b2 -o json"
    )]
    Undrain { node: String },
    /// Set labels (KEY=VALUE) or remove them (KEY-); without any, show them.
    #[command(after_help = "Examples:\n  trireme node label b2 rack=3 gpu=4090\n  \
                      trireme node label b2 rack-")]
    Label { node: String, labels: Vec<String> },
    /// The newest lines of a node's log, as far as its process keeps them.
    #[command(after_help = "Examples:\n  trireme node logs b2\n  \
                            trireme node logs b2 --last 20")]
    Logs(NodeLogs),
    /// Have a worker look at its machine anew, and say what is wrong there.
    #[command(after_help = "Examples:\n  trireme node exec-check b2\n  \
                            trireme node exec-check b2 -o json\n\n\
                            Its disk and memory are measured for about a second. Exits with 1 when \
                            a check fails.")]
    ExecCheck { node: String },
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
        /// Show what would happen, change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NodeLogs {
    pub node: String,
    /// How many lines, counted from the newest.
    #[arg(long, default_value_t = 100)]
    pub last: u32,
    /// Go on with new lines until Ctrl-C.
    #[arg(short, long)]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NodeDrain {
    pub node: String,
    /// What to do where a model fits nowhere else: leave all as it is, or stop the model.
    #[arg(long, value_enum, default_value_t = OnNoFitArg::Abort)]
    pub on_no_fit: OnNoFitArg,
    /// Seconds that it may take; then it fails, and what has moved stays there. Without it, the
    /// setting drain_timeout (ten minutes).
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Print the operation's id and return at once.
    #[arg(long)]
    pub no_wait: bool,
    /// Show the effect, change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnNoFitArg {
    Abort,
    Stop,
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
    /// Where this machine was a member before the cluster was restored: join under the same id,
    /// with the weights that it has.
    #[arg(long)]
    pub anew: bool,
    /// Coordinators: address of node traffic, as other machines reach it.
    #[arg(long, default_value = "127.0.0.1:7443")]
    pub listen: String,
    /// Coordinators: address of the API, as clients reach it.
    #[arg(long, default_value = "127.0.0.1:8443")]
    pub api_listen: String,
}
