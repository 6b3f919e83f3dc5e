//! Options of a worker, resolved once; nothing reads a flag, file or variable for them later.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use protocol::control::CoordinatorAddress;
use protocol::log_ring::LogRing;
use tokio::sync::watch;

use crate::device_choice::DeviceChoice;
use crate::error::WorkerError;
use crate::shard::ShardTimeouts;

/// Bytes of a memory limit that stay with the process itself: code, connections, frame buffers.
pub const PROCESS_RESERVE_BYTES: u64 = 96 << 20;

#[derive(Clone, Debug)]
pub struct Config {
    /// Holds `identity/`, `weights/`, `packed/` and the list of coordinators.
    pub data_dir: PathBuf,
    /// For people; unique names are the operator's business, ids are not.
    pub name: String,
    /// UDP address of node traffic.
    pub listen: SocketAddr,
    /// `host:port` under which other nodes reach this one, best first; when empty, the addresses
    /// of this machine's interfaces with the port of `listen`.
    pub advertise: Vec<String>,
    /// Most resident memory the process may take; `None` is all that is free.
    pub memory_limit: Option<u64>,
    /// What of the machine is offered to the cluster.
    pub devices: DeviceChoice,
    /// On GPUs a row's bits depend on its own tokens alone, at a cost of speed; on the CPU always.
    pub deterministic: bool,
    /// As the process has it in its environment, where CUDA reads it.
    pub cuda_visible_devices: Option<String>,
    /// Compute threads.
    pub threads: usize,
    /// Most bytes of packed weights that are kept on disk, in `packed/`; 0 keeps none.
    pub packed_cache_bytes: u64,
    /// Coordinators known from joining; a newer list on disk wins.
    pub coordinators: Vec<CoordinatorAddress>,
    /// Where `/metrics` is served over plain HTTP, if anywhere.
    pub metrics: Option<SocketAddr>,
    pub timeouts: Timeouts,
    /// Gets a line on how the worker stands after each lap of its loop; the first once it serves.
    pub pulse: watch::Sender<String>,
    /// The newest lines of this process's log, for coordinators that ask.
    pub log: LogRing,
}

#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Dialling a node, opening a stream, or waiting for its answer.
    pub dial: Duration,
    pub shards: ShardTimeouts,
    /// Least time a step may take before the pipeline counts as lost.
    pub step: Duration,
    /// Others may take over what runs here for that long after a shutdown was asked for.
    pub leave: Duration,
    /// What was not taken over may go on that long after it.
    pub drain: Duration,
    /// Longest pause between two attempts to reach a coordinator.
    pub reconnect_max: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            dial: Duration::from_secs(2),
            shards: ShardTimeouts::default(),
            step: Duration::from_secs(20),
            leave: Duration::from_secs(30),
            drain: Duration::from_secs(5),
            reconnect_max: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// A worker with default options: all cores, all free memory, no metrics.
    pub fn new(data_dir: PathBuf, name: String, listen: SocketAddr) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            data_dir,
            name,
            listen,
            advertise: Vec::new(),
            memory_limit: None,
            devices: DeviceChoice::Auto,
            deterministic: false,
            cuda_visible_devices: None,
            threads,
            packed_cache_bytes: 0,
            coordinators: Vec::new(),
            metrics: None,
            timeouts: Timeouts::default(),
            pulse: watch::Sender::default(),
            log: LogRing::default(),
        }
    }

    pub fn check(&self) -> Result<(), WorkerError> {
        let bad =
            |key, value: String, expected| Err(WorkerError::BadOption { key, value, expected });
        if self.threads == 0 || self.threads > 1024 {
            return bad("threads", self.threads.to_string(), "expected 1 to 1024");
        }
        if let Some(limit) = self.memory_limit
            && limit <= PROCESS_RESERVE_BYTES
        {
            let expected = "the process itself needs 96 MiB, stages come on top";
            return bad("memory-limit", format!("{limit} bytes"), expected);
        }
        if self.name.is_empty() || self.name.len() > 63 {
            return bad("name", format!("`{}`", self.name), "expected 1 to 63 characters");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new("/tmp/w".into(), "w".into(), ([127, 0, 0, 1], 7443).into())
    }

    #[test]
    fn a_memory_limit_below_what_the_process_needs_is_refused_by_name() {
        let tight = Config { memory_limit: Some(1 << 20), ..config() };
        let error = tight.check().expect_err("too small").to_string();
        assert!(error.contains("memory-limit") && error.contains("1048576"), "{error}");
        assert!(config().check().is_ok());
    }
}
