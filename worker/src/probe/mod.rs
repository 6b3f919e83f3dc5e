//! Measures what this node can do: memory, compute, and the links to its peers.

mod compute;
mod exchange;
mod link;
mod memory;

use std::collections::BTreeMap;

use protocol::node_profile::{DeviceKind, DeviceProfile, NodeProfile};
use sysinfo::{CpuRefreshKind, RefreshKind, System};

use crate::config::Config;

pub(crate) use link::measure as measure_link;
pub(crate) use memory::OwnMemory;

/// The profile of this machine. Takes about a quarter of a second of all cores; call it off the
/// async threads.
pub fn profile(config: &Config) -> NodeProfile {
    let cpu = cpu_name();
    let memory = memory::measure(config.memory_limit);
    let device = DeviceProfile {
        kind: DeviceKind::Cpu,
        name: cpu.clone(),
        memory_total_bytes: memory.total_bytes,
        memory_usable_bytes: memory.usable_bytes,
        memory_bandwidth: compute::memory_bandwidth(config.threads),
        matmul_rate: compute::matmul_rate(config.threads),
    };
    NodeProfile {
        hostname: System::host_name().unwrap_or_default(),
        os: System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.to_owned()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cpu,
        cores: config.threads as u32,
        devices: vec![device],
        links: BTreeMap::new(),
    }
}

fn cpu_name() -> String {
    let refresh = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    let system = System::new_with_specifics(refresh).ok();
    let first = system.as_ref().and_then(|system| system.cpus().first());
    first.map_or_else(|| "CPU".to_owned(), |cpu| cpu.brand().trim().to_owned())
}
