//! Arguments of `trireme doctor`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trireme doctor\n  trireme doctor --node b2\n  \
                        trireme doctor --pre-join trj1....@10.0.0.11:7443\n\n\
                        Looks at this machine, at the way to the coordinators, and at what the\n\
                        cluster knows of its nodes. Exits with 1 when a check fails.")]
pub(crate) struct Doctor {
    /// Only what concerns this node: its name or id.
    #[arg(long, conflicts_with_all = ["all", "pre_join"])]
    pub node: Option<String>,
    /// Also the checks that pass.
    #[arg(long, conflicts_with = "pre_join")]
    pub all: bool,
    /// Before joining: whether this machine could, by a coordinator's HOST:PORT or a join token.
    #[arg(long, value_name = "ADDRESS|TOKEN")]
    pub pre_join: Option<String>,
    /// The node's folder, if there is a node here; those of the services when absent.
    #[arg(long, env = "TRIREME_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}
