//! Arguments of `trireme cluster`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
