//! Options of the services, each also a variable and a key of the service's file: what stands here
//! is their only description (`crate::config`).

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::{ArgAction, Args};
use worker::DeviceChoice;

use crate::output::bytes;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trireme coordinator --data-dir /var/lib/trireme\n  \
                        trireme coordinator --config /etc/trireme/coordinator.toml")]
pub(crate) struct Coordinator {
    /// File with these options in TOML; flags and variables go before it.
    #[arg(long, env = "TRIREME_CONFIG")]
    pub config: Option<PathBuf>,
    /// State of the node; made by `cluster init` or `node join`.
    #[arg(long, default_value = "/var/lib/trireme")]
    pub data_dir: PathBuf,
    /// Address of node traffic: gRPC on TCP and QUIC on UDP. Without it, what the node was founded
    /// or joined with.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// Address of the API. Without it, what the node was founded or joined with.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub api_listen: Option<SocketAddr>,
    /// Serve the API without TLS off loopback too.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true")]
    pub insecure_http: bool,
    /// Ask for an API key on loopback too, where otherwise nobody is asked for one.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true")]
    pub require_keys: bool,
    /// How long the certificates that this coordinator signs are valid, in seconds. Without it, the
    /// cluster's setting certificate_validity (a year). Nodes renew theirs when two thirds are
    /// over.
    #[arg(long, value_name = "SECONDS")]
    pub certificate_validity: Option<u64>,
    /// Stop when standard input ends: for a parent that must not leave processes behind.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trireme worker --data-dir /var/lib/trireme\n  \
                        trireme worker --memory-limit 20GiB")]
pub(crate) struct Worker {
    /// File with these options in TOML; flags and variables go before it.
    #[arg(long, env = "TRIREME_CONFIG")]
    pub config: Option<PathBuf>,
    /// State of the node; made by `node join`.
    #[arg(long, default_value = "/var/lib/trireme")]
    pub data_dir: PathBuf,
    /// Address of node traffic: QUIC on UDP.
    #[arg(long, value_name = "HOST:PORT", value_parser = address, default_value = "0.0.0.0:7443")]
    pub listen: SocketAddr,
    /// Address that other nodes reach this one at. Without it, those of the machine's interfaces.
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Memory that this process may take, mapped pages included, e.g. 560MB or 20GiB. Without it,
    /// all that is free.
    #[arg(long, value_name = "SIZE", value_parser = bytes::size)]
    pub memory_limit: Option<u64>,
    /// What of this machine computes: `auto` (every GPU that can be used, else the CPU), `all` (the
    /// CPU too), or a list, each with a limit of its own if it shall have one:
    /// cuda:0,cuda:1=20GiB,cpu. GPUs are numbered as CUDA does, after CUDA_VISIBLE_DEVICES.
    #[arg(long, value_parser = devices, default_value = "auto")]
    pub devices: DeviceChoice,
    /// On GPUs, let what a row yields depend on nothing but its own tokens, which is slower; on the
    /// CPU it is so always.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true")]
    pub deterministic: bool,
    /// Compute threads. Without it, as many as there are cores.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Most bytes of packed weights kept on disk for the next start, e.g. 40GiB. Without it, none.
    #[arg(long, value_name = "SIZE", value_parser = bytes::size)]
    pub packed_cache: Option<u64>,
    /// The node's name. Without it, the host name.
    #[arg(long)]
    pub name: Option<String>,
    /// Seconds that others have to take over what runs here when it is told to stop (SIGTERM). A
    /// second signal ends it at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub drain_timeout: u64,
    /// Address where this worker's own /metrics is served over plain HTTP. Without it, nowhere.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub metrics_listen: Option<SocketAddr>,
    /// Stop when standard input ends: for a parent that must not leave processes behind.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs();
    let mut found = found.map_err(|e| format!("expected HOST:PORT of this machine: {e}"))?;
    found.next().ok_or_else(|| "the name has no address".to_owned())
}

fn devices(text: &str) -> Result<DeviceChoice, String> {
    DeviceChoice::parse(text, |size| bytes::size(size).ok())
}
