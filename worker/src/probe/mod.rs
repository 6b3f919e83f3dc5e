//! Measures what this node can do: memory, compute, and the links to its peers.

mod compute;
mod exchange;
mod host;
mod link;
mod memory;
mod speed;

use std::collections::BTreeMap;

use engine::Place;
use protocol::node_profile::{DeviceKind, DeviceProfile, NodeProfile};
use sysinfo::{CpuRefreshKind, RefreshKind, System};

use crate::config::Config;
use crate::device_choice::{DeviceChoice, DeviceName};
use crate::error::WorkerError;
use crate::gpu::{self, Offered};

pub use host::host_facts;
pub(crate) use link::measure as measure_link;
pub(crate) use memory::OwnMemory;
pub(crate) use speed::measure_copy;
pub use speed::measure_disk;

/// What this node tells of itself, and where the stages of each of its devices are loaded; none: on
/// the CPU.
pub(crate) struct Probed {
    pub(crate) profile: NodeProfile,
    pub(crate) places: Vec<Option<Place>>,
}

/// Looks at this machine. Takes about a quarter of a second of all cores, and as long of each GPU;
/// call it off the async threads.
pub(crate) fn probe(config: &Config) -> Result<Probed, WorkerError> {
    let cpu = cpu_name();
    let memory = memory::measure(config.memory_limit);
    let (mut devices, mut places) = (Vec::new(), Vec::new());
    for Offered { profile, place } in gpu::offered(config, memory.usable_bytes)? {
        devices.push(profile);
        places.push(Some(place));
    }
    if offers_cpu(config, &devices) {
        devices.push(DeviceProfile {
            kind: DeviceKind::Cpu,
            name: cpu.clone(),
            memory_total_bytes: memory.total_bytes,
            memory_usable_bytes: config.devices.capped(DeviceName::Cpu, memory.usable_bytes),
            memory_bandwidth: compute::memory_bandwidth(config.threads),
            matmul_rate: compute::matmul_rate(config.threads),
            gpu: None,
        });
        places.push(None);
    }
    check_listed(config, &devices)?;
    for (index, device) in devices.iter().enumerate() {
        let (label, usable) = (device.label(), device.memory_usable_bytes);
        tracing::info!(index, %label, name = %device.name, usable_bytes = usable, "device offered");
    }
    let profile = NodeProfile {
        hostname: System::host_name().unwrap_or_default(),
        os: System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.to_owned()),
        version: protocol::VERSION.to_owned(),
        cpu,
        cores: config.threads as u32,
        devices,
        links: BTreeMap::new(),
        host: host_facts(&config.data_dir, config.memory_limit),
    };
    Ok(Probed { profile, places })
}

/// Beside GPUs only by choice: a plan that mixes the two is limited by the CPU. Memory is not
/// offered twice.
fn offers_cpu(config: &Config, gpus: &[DeviceProfile]) -> bool {
    let unified = gpus.iter().any(|d| d.gpu.as_ref().is_some_and(|gpu| gpu.unified_memory));
    match &config.devices {
        DeviceChoice::Auto => gpus.is_empty(),
        DeviceChoice::All => !unified,
        DeviceChoice::Listed(_) => config.devices.wants(DeviceName::Cpu),
    }
}

fn check_listed(config: &Config, found: &[DeviceProfile]) -> Result<(), WorkerError> {
    let DeviceChoice::Listed(listed) = &config.devices else { return Ok(()) };
    let found: Vec<_> = found.iter().map(DeviceProfile::label).collect();
    for device in listed.iter().map(|chosen| chosen.device.to_string()) {
        if !found.contains(&device) {
            // Why CUDA shows no more is in the log.
            let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
            return Err(WorkerError::NotThere { device, found });
        }
    }
    Ok(())
}

fn cpu_name() -> String {
    let refresh = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    let system = System::new_with_specifics(refresh).ok();
    let first = system.as_ref().and_then(|system| system.cpus().first());
    first.map_or_else(|| "CPU".to_owned(), |cpu| cpu.brand().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(devices: &str) -> Config {
        let devices = DeviceChoice::parse(devices, |_| Some(1 << 30)).expect("a choice");
        let plain = Config::new("/tmp/w".into(), "w".into(), ([127, 0, 0, 1], 7443).into());
        Config { devices, threads: 1, ..plain }
    }

    #[test]
    fn the_cpu_is_offered_up_to_its_own_limit() {
        let probed = probe(&config("cpu=1GiB")).expect("a CPU");
        let device = &probed.profile.devices[0];
        assert_eq!((device.label().as_str(), probed.places.len()), ("cpu", 1));
        assert!(device.memory_usable_bytes <= 1 << 30 && probed.places[0].is_none());
    }

    #[test]
    fn a_device_asked_for_that_is_not_there_is_named_with_what_is() {
        let error = probe(&config("cpu,cuda:63")).map(|_| ()).expect_err("no such GPU");
        let expected = "no device cuda:63: this worker finds cpu";
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[test]
    fn the_cpu_stands_back_behind_gpus_unless_it_is_asked_for() {
        let cpu = probe(&config("cpu")).expect("a CPU").profile.devices.remove(0);
        assert!(offers_cpu(&config("auto"), &[]));
        assert!(!offers_cpu(&config("auto"), std::slice::from_ref(&cpu)));
        assert!(offers_cpu(&config("all"), &[cpu]));
        assert!(!offers_cpu(&config("cuda:0"), &[]));
    }
}
