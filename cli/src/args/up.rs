//! Arguments of `trireme up`.

use std::path::PathBuf;

use clap::Args;

use crate::output::bytes;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trireme up\n  \
                        trireme up --nodes 2 --model ./llama.gguf \"Tell me a joke\"\n\n\
                        Ctrl-C stops all of it.")]
pub(crate) struct Up {
    /// What to ask first.
    pub prompt: Option<String>,
    /// Worker processes to start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub nodes: u32,
    /// Coordinator processes to start: 1 or 3.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3))]
    pub coordinators: u32,
    /// GGUF file or Hugging Face directory; the built-in demo model when absent.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// Stages to split the model into; as many as there are workers when absent.
    #[arg(long)]
    pub stages: Option<u32>,
    /// Memory that each worker may take, e.g. 560MB or 2GiB.
    #[arg(long, value_name = "SIZE", value_parser = checked_size)]
    pub memory_limit: Option<String>,
    /// What each worker offers, as in `trireme worker --devices`. They share this machine: give
    /// each its part of a GPU, as in cuda:0=20GiB.
    #[arg(long, default_value = "cpu")]
    pub devices: String,
    /// Port of the API; a free one when taken by another program and not asked for.
    #[arg(long)]
    pub port: Option<u16>,
    /// Where the nodes keep their state; a temporary folder when absent.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Answer the prompt, then stop instead of staying up.
    #[arg(long)]
    pub once: bool,
}

/// Handed on to the workers as it was written.
fn checked_size(text: &str) -> Result<String, String> {
    bytes::size(text).map(|_| text.to_owned())
}
