//! `trireme worker`: runs a worker until it is told to stop.

use std::time::Duration;

use protocol::log_ring::LogRing;
use worker::{Stopping, WorkerError};

use super::node::host_name;
use crate::args::Worker;
use crate::error::{CliError, Exit};
use crate::{service, shutdown};

pub(crate) async fn run(args: Worker, log: LogRing) -> Result<(), CliError> {
    let name = args.name.unwrap_or_else(host_name);
    let mut config = worker::Config::new(args.data_dir, name, args.listen);
    config.advertise = args.advertise.into_iter().collect();
    config.memory_limit = args.memory_limit;
    config.devices = args.devices;
    config.deterministic = args.deterministic;
    config.cuda_visible_devices = cuda_visible_devices();
    config.packed_cache_bytes = args.packed_cache.unwrap_or(0);
    config.threads = args.threads.map_or(config.threads, |threads| threads as usize);
    config.metrics = args.metrics_listen;
    config.log = log;
    config.timeouts.leave = Duration::from_secs(args.drain_timeout);
    let stopping = shutdown::watch_for_worker(args.stop_with_stdin)?;
    let mut told = stopping.clone();
    service::tell(config.pulse.subscribe(), async move {
        // A watch that is gone is a reason to stop too.
        let _ = told.wait_for(|stopping| *stopping != Stopping::No).await;
    })?;
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

#[allow(clippy::disallowed_methods, reason = "not our option: CUDA reads it, we say what it hides")]
fn cuda_visible_devices() -> Option<String> {
    std::env::var("CUDA_VISIBLE_DEVICES").ok()
}
