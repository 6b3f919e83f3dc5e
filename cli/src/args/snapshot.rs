//! Arguments of `trireme cluster snapshot`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Save the cluster's state and CA in a file that only the recovery key opens.
    #[command(after_help = "Examples:\n  trireme cluster snapshot save lab.trireme\n  \
                            trireme cluster snapshot save /backup/lab-$(date +%F).trireme")]
    Save {
        /// Where to; a file that is there is replaced.
        file: PathBuf,
    },
    /// Check a snapshot and show what it says of itself; needs no key.
    #[command(after_help = "Examples:\n  trireme cluster snapshot inspect lab.trireme\n  \
                            trireme cluster snapshot inspect lab.trireme -o json")]
    Inspect { file: PathBuf },
    /// Begin the cluster anew from a snapshot, on a machine that holds no node yet.
    #[command(after_help = "Examples:\n  trireme cluster snapshot restore lab.trireme \\\n      \
                            --listen 10.0.0.21:7443 --api-listen 10.0.0.21:8443\n  \
                            trireme cluster snapshot restore lab.trireme --yes \\\n      \
                            --recovery-key-file key.txt\n\n\
                            The recovery key is asked for, or read from --recovery-key-file (- is\n\
                            standard input) or TRIREME_RECOVERY_KEY. The cluster gets another CA:\n\
                            its nodes of before join again, with their data, by\n\
                            trireme node join --anew TOKEN")]
    Restore(Box<SnapshotRestore>),
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotRestore {
    pub file: PathBuf,
    /// File with the recovery key; - for standard input.
    #[arg(long, env = "TRIREME_RECOVERY_KEY_FILE")]
    pub recovery_key_file: Option<PathBuf>,
    /// The node's name; the host name and `-restored` when absent.
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
    /// Do not ask for the cluster's name.
    #[arg(short, long)]
    pub yes: bool,
}
