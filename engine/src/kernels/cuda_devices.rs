//! Asks the CUDA driver which GPUs this process may use; opens none.

use candle_core::cuda_backend::cudarc::driver::DriverError;
use candle_core::cuda_backend::cudarc::driver::result::{self, device};
use candle_core::cuda_backend::cudarc::driver::sys::{CUdevice, CUdevice_attribute as Attribute};

use crate::gpu::{GpuFacts, uuid_text};

/// In the order of CUDA's numbers. The driver must be there: who calls has looked.
pub(crate) fn cuda_devices() -> Result<Vec<GpuFacts>, String> {
    let said = |what: &'static str| move |error: DriverError| format!("{what}: {error}");
    result::init().map_err(said("the NVIDIA driver does not start"))?;
    let count = device::get_count().map_err(said("the driver does not count its devices"))?;
    (0..count)
        .map(|ordinal| facts(ordinal).map_err(said("a device does not tell of itself")))
        .collect()
}

fn facts(ordinal: i32) -> Result<GpuFacts, DriverError> {
    let found = device::get(ordinal)?;
    let number = |which: Attribute| attribute(found, which);
    let uuid = device::get_uuid(found)?.bytes.map(|byte| byte.cast_unsigned());
    // SAFETY: `found` came from `device::get`.
    let memory_total_bytes = unsafe { device::total_mem(found) }? as u64;
    Ok(GpuFacts {
        ordinal: ordinal.cast_unsigned(),
        name: device::get_name(found)?,
        uuid: uuid_text(uuid),
        memory_total_bytes,
        compute_capability: (
            number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
            number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
        ),
        integrated: number(Attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED) != 0,
        uses_host_page_tables: number(
            Attribute::CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES,
        ) != 0,
        memory_clock_khz: number(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE),
        memory_bus_bits: number(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH),
        clock_khz: number(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE),
        multiprocessors: number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
    })
}

/// 0 for what this driver does not know.
fn attribute(found: CUdevice, which: Attribute) -> u32 {
    // SAFETY: `found` came from `device::get`.
    let value = unsafe { device::get_attribute(found, which) };
    value.ok().and_then(|value| u32::try_from(value).ok()).unwrap_or(0)
}
