//! Arguments of `trireme context`.

use std::path::PathBuf;

use clap::Subcommand;
use clap_complete::ArgValueCandidates;

use crate::completion;

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List the clusters that you know; the current one has a star.
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  trireme context ls\n  trireme context ls -o name"
    )]
    Ls,
    /// Let commands mean this cluster from now on.
    #[command(after_help = "Examples:\n  trireme context use lab\n  trireme context use local")]
    Use {
        #[arg(add = ArgValueCandidates::new(completion::contexts))]
        name: String,
    },
    /// Add a cluster by the address of its API, and make it the current one.
    #[command(
        after_help = "Examples:\n  trireme context add local --api http://127.0.0.1:8443\n  \
                      trireme context add lab --api https://10.0.0.11:8443 --ca ./ca.crt \
                      --key-file ./lab.key\n\n\
                      The key is read from --key-file, or kept out of the file when absent. \
                      ca.crt is the one\nin any node's <data-dir>/identity."
    )]
    Add {
        name: String,
        /// The cluster's CA certificate, PEM; needed for an https address.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
    },
    /// Forget a cluster, with the key that is saved for it.
    #[command(
        visible_alias = "remove",
        after_help = "Examples:\n  trireme context rm lab\n  trireme context rm lab --yes"
    )]
    Rm {
        #[arg(add = ArgValueCandidates::new(completion::contexts))]
        name: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}
