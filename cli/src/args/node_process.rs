//! Arguments of the commands that run nodes: up, coordinator, worker.

use std::path::PathBuf;

use clap::Args;

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
    #[arg(long)]
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

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trireme coordinator --data-dir /var/lib/trireme\n  \
                        trireme coordinator --config /etc/trireme/coordinator.toml")]
pub(crate) struct Coordinator {
    /// File with these options in TOML; flags go before it.
    #[arg(long, env = "TRIREME_CONFIG")]
    pub config: Option<PathBuf>,
    /// State of the node; made by `cluster init` or `node join`.
    #[arg(long, env = "TRIREME_DATA_DIR", default_value = "/var/lib/trireme")]
    pub data_dir: PathBuf,
    /// Address of node traffic: gRPC on TCP and QUIC on UDP.
    #[arg(long)]
    pub listen: Option<String>,
    /// Address of the API.
    #[arg(long)]
    pub api_listen: Option<String>,
    /// Serve the API without TLS off loopback too.
    #[arg(long)]
    pub insecure_http: bool,
    /// How long the certificates that this coordinator signs are valid, in seconds; a year when
    /// absent. Nodes renew theirs when two thirds are over.
    #[arg(long)]
    pub certificate_validity: Option<u64>,
    /// Stop when standard input ends: for a parent that must not leave processes behind.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trireme worker --data-dir /var/lib/trireme\n  \
                        trireme worker --memory-limit 20GiB")]
pub(crate) struct Worker {
    /// File with these options in TOML; flags go before it.
    #[arg(long, env = "TRIREME_CONFIG")]
    pub config: Option<PathBuf>,
    /// State of the node; made by `node join`.
    #[arg(long, env = "TRIREME_DATA_DIR", default_value = "/var/lib/trireme")]
    pub data_dir: PathBuf,
    /// Address of node traffic: QUIC on UDP.
    #[arg(long)]
    pub listen: Option<String>,
    /// Address that other nodes reach this one at, if it differs.
    #[arg(long)]
    pub advertise: Option<String>,
    /// Memory that this process may take, mapped pages included, e.g. 560MB or 20GiB.
    #[arg(long)]
    pub memory_limit: Option<String>,
    /// What of this machine computes: `auto` (every GPU that can be used, else the CPU), `all` (the
    /// CPU too), or a list, each with a limit of its own if it shall have one:
    /// cuda:0,cuda:1=20GiB,cpu. GPUs are numbered as CUDA does, after CUDA_VISIBLE_DEVICES.
    #[arg(long)]
    pub devices: Option<String>,
    /// On GPUs, let what a row yields depend on nothing but its own tokens, which is slower; on the
    /// CPU it is so always.
    #[arg(long)]
    pub deterministic: bool,
    /// Compute threads; all cores when absent.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Most bytes of packed weights kept on disk for the next start, e.g. 40GiB; none when absent.
    #[arg(long)]
    pub packed_cache: Option<String>,
    /// The node's name; the host name when absent.
    #[arg(long)]
    pub name: Option<String>,
    /// Seconds that others have to take over what runs here when it is told to stop (SIGTERM); 30
    /// when absent. A second signal ends it at once.
    #[arg(long, value_name = "SECONDS")]
    pub drain_timeout: Option<u64>,
    /// Address where this worker's own /metrics is served over plain HTTP.
    #[arg(long)]
    pub metrics_listen: Option<String>,
    /// Stop when standard input ends: for a parent that must not leave processes behind.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}
