//! `trireme worker`: runs a worker until it is told to stop.

use std::time::Duration;

use worker::{DeviceChoice, WorkerError};

use super::coordinator::resolve;
use super::node::host_name;
use crate::args::Worker;
use crate::config_file::{self, WorkerFile};
use crate::error::{CliError, Exit};
use crate::output::bytes;
use crate::shutdown;

const LISTEN: &str = "0.0.0.0:7443";

pub(crate) async fn run(args: Worker) -> Result<(), CliError> {
    let file: WorkerFile = config_file::read(args.config.as_deref())?;
    let listen = args.listen.or(file.listen).unwrap_or_else(|| LISTEN.to_owned());
    let listen = resolve("--listen", &listen)?;
    let name = args.name.or(file.name).unwrap_or_else(host_name);
    let mut config = worker::Config::new(args.data_dir, name, listen);
    config.advertise = args.advertise.or(file.advertise).into_iter().collect();
    if let Some(limit) = args.memory_limit.or(file.memory_limit) {
        config.memory_limit = Some(bytes::parse("--memory-limit", &limit)?);
    }
    if let Some(devices) = args.devices.or(file.devices) {
        config.devices = devices_of(&devices)?;
    }
    config.deterministic = args.deterministic || file.deterministic.unwrap_or(false);
    config.cuda_visible_devices = cuda_visible_devices();
    if let Some(limit) = args.packed_cache.or(file.packed_cache) {
        config.packed_cache_bytes = bytes::parse("--packed-cache", &limit)?;
    }
    if let Some(threads) = args.threads.or(file.threads) {
        config.threads = threads;
    }
    if let Some(listen) = args.metrics_listen.or(file.metrics_listen) {
        config.metrics = Some(resolve("--metrics-listen", &listen)?);
    }
    if let Some(seconds) = args.drain_timeout.or(file.drain_timeout) {
        config.timeouts.leave = Duration::from_secs(seconds);
    }
    let stopping = shutdown::watch_for_worker(args.stop_with_stdin)?;
    worker::run(config, stopping).await.map_err(|error| match error {
        WorkerError::Duplicate { ref path, .. } => {
            let next = format!("on one of the two: rm -r {} && trireme node join", path.display());
            let what = "this machine has the identity of another one";
            CliError::new(Exit::Precondition, what, error.to_string(), next)
        }
        WorkerError::NotJoined | WorkerError::NoCoordinator | WorkerError::Removed => {
            let next =
                "run `trireme node join TOKEN`, with a token of `trireme cluster join-token`";
            CliError::new(Exit::Precondition, "the worker cannot start", error.to_string(), next)
        }
        other => {
            let why = other.to_string();
            CliError::new(Exit::Failed, "the worker stopped", why, "see the log above")
        }
    })
}

fn devices_of(text: &str) -> Result<DeviceChoice, CliError> {
    let size = |size: &str| bytes::parse("--devices", size).ok();
    DeviceChoice::parse(text, size)
        .map_err(|why| CliError::usage(format!("--devices is `{text}`"), why))
}

#[allow(clippy::disallowed_methods, reason = "not our option: CUDA reads it, we say what it hides")]
fn cuda_visible_devices() -> Option<String> {
    std::env::var("CUDA_VISIBLE_DEVICES").ok()
}
