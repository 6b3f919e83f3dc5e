//! What a machine is like beside its devices, as its own worker found it: what `trireme doctor`
//! judges.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Taken when a worker starts, or is asked; fields that a system does not tell stay at their
/// defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct HostFacts {
    /// Its clock when it registered, milliseconds since 1970.
    pub clock_ms: u64,
    /// By how much that was ahead of the coordinator's clock, which notes it.
    pub clock_ahead_seconds: Option<f64>,
    pub interfaces: Vec<Interface>,
    /// Of the file system that holds the data directory.
    pub disk: Option<DiskFacts>,
    pub memory_available_bytes: u64,
    /// By one thread; only where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_copy_bytes_per_second: Option<f64>,
    /// As the operator set it.
    pub memory_limit_bytes: Option<u64>,
    pub gpus: GpuFinding,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Interface {
    pub name: String,
    /// Without the network's length.
    pub addresses: Vec<String>,
    pub mtu: u64,
    /// Of a cable that is plugged in.
    pub megabits_per_second: Option<u64>,
    /// Made by software: a bridge, a tunnel, a container's end.
    pub is_virtual: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DiskFacts {
    pub path: String,
    pub total_bytes: u64,
    pub free_bytes: u64,
    /// What is written there is gone after a restart: memory, or a container's own layer.
    pub is_volatile: bool,
    /// Only where it was measured.
    pub write_bytes_per_second: Option<f64>,
    /// A small write that is safe on the disk.
    pub sync_seconds: Option<f64>,
}

/// What each layer between a graphics card and this program says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GpuFinding {
    /// NVIDIA's cards on the PCI bus.
    pub on_bus: u32,
    /// Model of an NVIDIA board whose GPU computes in the host's memory; empty for others.
    pub tegra: String,
    /// Version of the kernel's module; empty where it is not loaded.
    pub module_version: String,
    /// Version that the libraries are for; empty without NVML.
    pub library_version: String,
    pub in_nvml: u32,
    pub in_cuda: u32,
    /// Why CUDA shows none.
    pub cuda_reason: String,
}
