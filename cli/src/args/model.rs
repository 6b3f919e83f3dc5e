//! Arguments of `trireme model`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Placement, Wait};

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
        /// Show the plan, change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// What happened to a deployment, how it is now and why, and what happens next.
    #[command(after_help = "Examples:\n  trireme model events demo\n  \
                      trireme model events demo --follow")]
    Events {
        model: String,
        /// Go on with what happens from now on.
        #[arg(short, long)]
        follow: bool,
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
        /// Show what would happen, change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}
