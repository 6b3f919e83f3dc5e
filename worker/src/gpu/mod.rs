//! The GPUs that this worker offers: found, opened, measured and described.

mod finding;
mod found;
mod memory;
mod readings;
mod visible;

use engine::Place;
use engine::collective::nccl_version;
use engine::gpu::{DeviceRates, GpuFacts, visible_gpus};
use protocol::node_profile::{DeviceKind, DeviceProfile, GpuProfile, RatesFrom};

use crate::config::Config;
use crate::device_choice::{DeviceChoice, DeviceName};
use crate::error::WorkerError;
pub(crate) use finding::finding;
use found::Gpu;
use readings::Readings;

/// A device as the cluster is told of it, and where its stages are loaded.
pub(crate) struct Offered {
    pub(crate) profile: DeviceProfile,
    pub(crate) place: Place,
}

/// Opens the GPUs that the configuration wants. `host_bytes`: what stages may take of the host's
/// memory, for GPUs that compute in it.
pub(crate) fn offered(config: &Config, host_bytes: u64) -> Result<Vec<Offered>, WorkerError> {
    let readings = readings::take();
    let gpus = match visible_gpus() {
        Ok(shown) => tell_of(shown, &readings, config.cuda_visible_devices.as_deref()),
        Err(error) => {
            tell_missing(&error.to_string(), &readings, config.cuda_visible_devices.as_deref());
            Vec::new()
        }
    };
    let wanted: Vec<_> = gpus.into_iter().filter(|gpu| config.devices.wants(gpu.name())).collect();
    let sharing = wanted.iter().filter(|gpu| gpu.has_unified_memory()).count();
    let nccl = (!wanted.is_empty()).then(nccl).flatten();
    let mut offered = Vec::new();
    for gpu in wanted {
        match open(&gpu, &readings.driver, nccl, (host_bytes, sharing), config) {
            Ok(device) => offered.push(device),
            Err(error) if matches!(config.devices, DeviceChoice::Listed(_)) => return Err(error),
            Err(error) => tracing::warn!(gpu = %gpu.facts.name, %error, "not used"),
        }
    }
    Ok(offered)
}

impl Gpu {
    fn name(&self) -> DeviceName {
        DeviceName::Cuda(self.facts.ordinal)
    }
}

fn nccl() -> Option<u32> {
    let found = nccl_version();
    found.inspect_err(|missing| tracing::info!(%missing, "groups of GPUs go through the host")).ok()
}

/// What CUDA shows and what it does not, in the log.
fn tell_of(shown: Vec<GpuFacts>, readings: &Readings, visible: Option<&str>) -> Vec<Gpu> {
    let uuids: Vec<_> = readings.gpus.iter().map(|gpu| gpu.uuid.clone()).collect();
    if let (false, (_, Some(flaw))) = (uuids.is_empty(), visible::shown(visible, &uuids)) {
        tracing::warn!(entry = %flaw.entry, why = flaw.why, "CUDA_VISIBLE_DEVICES");
    }
    let (gpus, hidden) = found::join(shown, readings);
    for gpu in hidden {
        let variable = visible.unwrap_or("not set");
        tracing::info!(name = %gpu.name, uuid = %gpu.uuid, CUDA_VISIBLE_DEVICES = variable,
            "this GPU is hidden from CUDA");
    }
    gpus
}

/// One line says what is missing; with the GPUs that would be of use, if there are any.
fn tell_missing(reason: &str, readings: &Readings, visible: Option<&str>) {
    if !cfg!(feature = "cuda") {
        return;
    }
    let uuids: Vec<_> = readings.gpus.iter().map(|gpu| gpu.uuid.clone()).collect();
    let (shown, _) = visible::shown(visible, &uuids);
    let names: Vec<_> = shown.iter().map(|index| readings.gpus[*index].name.as_str()).collect();
    match names.is_empty() {
        true => tracing::info!(%reason, "no GPU is used"),
        false => tracing::warn!(%reason, gpus = names.join(", "), "no GPU is used"),
    }
}

fn open(
    gpu: &Gpu,
    driver: &str,
    nccl: Option<u32>,
    (host_bytes, sharing): (u64, usize),
    config: &Config,
) -> Result<Offered, WorkerError> {
    let name = gpu.name();
    let place = Place::named(&name.to_string()).map_err(|error| WorkerError::Device {
        device: name.to_string(),
        reason: error.to_string(),
    })?;
    let place = if config.deterministic { place.deterministic() } else { place };
    let measured = place.rates().unwrap_or_else(|error| {
        tracing::warn!(gpu = %gpu.facts.name, %error, "not measured: its clocks are believed");
        None
    });
    let usable = memory::usable_bytes(gpu, place.free_bytes(), host_bytes, sharing);
    let usable = config.devices.capped(name, usable);
    let mut profile = profile(gpu, driver, measured, usable);
    if let Some(gpu) = &mut profile.gpu {
        gpu.nccl = nccl;
    }
    Ok(Offered { profile, place })
}

fn profile(
    gpu: &Gpu,
    driver: &str,
    measured: Option<DeviceRates>,
    usable_bytes: u64,
) -> DeviceProfile {
    let Gpu { facts, reading } = gpu;
    let limits = DeviceRates {
        bytes_per_second: facts.memory_bandwidth_limit(),
        macs_per_second: facts.matmul_limit(),
    };
    let rates = measured.unwrap_or(limits);
    let (major, minor) = facts.compute_capability;
    DeviceProfile {
        kind: DeviceKind::Cuda,
        name: facts.name.clone(),
        memory_total_bytes: facts.memory_total_bytes,
        memory_usable_bytes: usable_bytes,
        memory_bandwidth: rates.bytes_per_second,
        matmul_rate: rates.macs_per_second,
        gpu: Some(Box::new(GpuProfile {
            ordinal: facts.ordinal,
            uuid: facts.uuid.clone(),
            compute_capability: format!("{major}.{minor}"),
            driver: driver.to_owned(),
            pcie: reading.pcie,
            power_limit_watts: reading.power_limit_watts,
            power_watts: reading.power_watts,
            temperature_celsius: reading.temperature_celsius,
            unified_memory: gpu.has_unified_memory(),
            rates: if measured.is_some() { RatesFrom::Measured } else { RatesFrom::Clocks },
            shares: true,
            nccl: None,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::readings::Reading;
    use super::*;

    fn gpu() -> Gpu {
        let facts = GpuFacts {
            ordinal: 1,
            name: "NVIDIA GeForce RTX 3090".to_owned(),
            memory_total_bytes: 24 << 30,
            compute_capability: (8, 6),
            memory_clock_khz: 9_751_000,
            memory_bus_bits: 384,
            clock_khz: 1_695_000,
            multiprocessors: 82,
            ..GpuFacts::default()
        };
        Gpu { facts, reading: Reading { temperature_celsius: Some(41), ..Reading::default() } }
    }

    #[test]
    fn a_gpu_that_was_not_measured_is_told_by_its_clocks_and_says_so() {
        let profile = profile(&gpu(), "580.95", None, 20 << 30);
        let facts = profile.gpu.as_ref().expect("a GPU");
        assert_eq!((profile.label().as_str(), facts.rates), ("cuda:1", RatesFrom::Clocks));
        assert_eq!((facts.compute_capability.as_str(), facts.driver.as_str()), ("8.6", "580.95"));
        assert_eq!(facts.temperature_celsius, Some(41));
        assert!((profile.memory_bandwidth / 936e9 - 1.0).abs() < 0.01);
    }

    #[test]
    fn measured_rates_go_before_clocks() {
        let rates = DeviceRates { bytes_per_second: 8e11, macs_per_second: 3e13 };
        let profile = profile(&gpu(), "", Some(rates), 1);
        assert_eq!((profile.memory_bandwidth, profile.matmul_rate), (8e11, 3e13));
        assert_eq!(profile.gpu.expect("a GPU").rates, RatesFrom::Measured);
    }
}
