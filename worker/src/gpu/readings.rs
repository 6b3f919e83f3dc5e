//! What NVML tells of the machine's GPUs; those that are hidden from CUDA too.

use protocol::node_profile::PcieLink;

/// Of one GPU, in NVML's order; what it does not tell is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) uuid: String,
    pub(super) name: String,
    pub(super) free_bytes: Option<u64>,
    pub(super) pcie: Option<PcieLink>,
    pub(super) power_limit_watts: Option<u32>,
    pub(super) power_watts: Option<u32>,
    pub(super) temperature_celsius: Option<u32>,
}

/// All GPUs and the driver's version; nothing where NVML is not installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Readings {
    pub(super) driver: String,
    pub(super) gpus: Vec<Reading>,
}

#[cfg(not(feature = "cuda"))]
pub(super) fn take() -> Readings {
    Readings::default()
}

/// NVML is loaded here, and let go of again.
#[cfg(feature = "cuda")]
pub(super) fn take() -> Readings {
    use nvml_wrapper::Nvml;
    // The name of the driver's package first: the other comes with development files.
    let opened = Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init();
    let nvml = match opened.or_else(|_| Nvml::init()) {
        Ok(nvml) => nvml,
        Err(error) => {
            tracing::debug!(%error, "NVML tells nothing");
            return Readings::default();
        }
    };
    let gpus = (0..nvml.device_count().unwrap_or(0)).filter_map(|index| reading(&nvml, index));
    Readings { driver: nvml.sys_driver_version().unwrap_or_default(), gpus: gpus.collect() }
}

#[cfg(feature = "cuda")]
fn reading(nvml: &nvml_wrapper::Nvml, index: u32) -> Option<Reading> {
    use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
    let device = nvml.device_by_index(index).ok()?;
    let link = device.max_pcie_link_gen().and_then(|generation| {
        let lanes = device.current_pcie_link_width()?;
        Ok(PcieLink { generation, lanes })
    });
    let watts = |milliwatts: u32| milliwatts.div_ceil(1000);
    Some(Reading {
        uuid: device.uuid().ok()?,
        name: device.name().unwrap_or_default(),
        free_bytes: device.memory_info().ok().map(|memory| memory.free),
        pcie: link.ok(),
        power_limit_watts: device.enforced_power_limit().ok().map(watts),
        power_watts: device.power_usage().ok().map(watts),
        temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok(),
    })
}
