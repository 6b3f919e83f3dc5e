//! Arguments of `trireme node`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
