//! What a node can do, as measured by its own probe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::host_facts::HostFacts;
use crate::ids::NodeId;

/// Measured facts of one node; sent at registration and when they change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeProfile {
    pub hostname: String,
    pub os: String,
    pub version: String,
    pub cpu: String,
    pub cores: u32,
    pub devices: Vec<DeviceProfile>,
    /// What this node measured to its peers.
    #[serde(default)]
    pub links: BTreeMap<NodeId, LinkProfile>,
    /// For people and `trireme doctor`; no plan depends on it.
    #[serde(default)]
    pub host: HostFacts,
}

/// One place where a rank can live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceProfile {
    pub kind: DeviceKind,
    pub name: String,
    pub memory_total_bytes: u64,
    /// What stages may take: free memory less the reserve, or the operator's limit.
    pub memory_usable_bytes: u64,
    /// Measured streaming read rate, bytes per second: what a decode step is limited by.
    pub memory_bandwidth: f64,
    /// Measured multiply-accumulates per second, f32 on a CPU, bf16 on a GPU: what a prefill is
    /// limited by.
    pub matmul_rate: f64,
    /// Of CUDA devices.
    #[serde(default)]
    pub gpu: Option<Box<GpuProfile>>,
}

/// What is known of a GPU beside its rates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GpuProfile {
    /// CUDA's number for it in the worker's process, which counts visible devices only.
    pub ordinal: u32,
    /// `GPU-` and 32 hexadecimal digits in groups.
    pub uuid: String,
    /// E.g. `8.6`.
    pub compute_capability: String,
    /// Version of the NVIDIA driver; empty where it does not tell.
    pub driver: String,
    pub pcie: Option<PcieLink>,
    pub power_limit_watts: Option<u32>,
    /// When the worker started.
    pub power_watts: Option<u32>,
    /// When the worker started.
    pub temperature_celsius: Option<u32>,
    /// It computes in the host's memory: what it may take is taken from there.
    pub unified_memory: bool,
    pub rates: RatesFrom,
    /// Whether a rank here may hold a share of a stage.
    pub shares: bool,
    /// Version of the NCCL that the worker found; none: its groups exchange through the host.
    pub nccl: Option<u32>,
}

/// What the device can carry now; a GPU at rest lowers the generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PcieLink {
    pub generation: u32,
    pub lanes: u32,
}

/// Where the bandwidth and the matrix rate of a GPU are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RatesFrom {
    /// A short run on the device.
    Measured,
    /// Clocks and widths that it names: what it cannot exceed.
    Clocks,
}

impl DeviceProfile {
    /// As people and options name it: `cpu`, `cuda:0`.
    pub fn label(&self) -> String {
        match &self.gpu {
            Some(gpu) => format!("cuda:{}", gpu.ordinal),
            None => "cpu".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    Cpu,
    Cuda,
}

/// One direction of a link, as measured by its sender.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LinkProfile {
    pub rtt_seconds: f64,
    pub bytes_per_second: f64,
    /// False while the two ends cannot reach each other: no edge of a plan may use the link.
    pub reachable: bool,
    /// What two ranks of a group pay to exchange 16 KiB, each way at once; none: not measured.
    #[serde(default)]
    pub exchange: ExchangeProfile,
}

impl NodeProfile {
    /// Rounds what was measured to numbers that are the same after any way through JSON.
    pub fn settle(&mut self) {
        for device in &mut self.devices {
            settle(&mut device.memory_bandwidth);
            settle(&mut device.matmul_rate);
        }
        self.links.values_mut().for_each(LinkProfile::settle);
        let host = &mut self.host;
        host.clock_ahead_seconds.iter_mut().for_each(settle);
        host.memory_copy_bytes_per_second.iter_mut().for_each(settle);
        if let Some(disk) = &mut host.disk {
            let measured = [&mut disk.write_bytes_per_second, &mut disk.sync_seconds];
            measured.into_iter().flatten().for_each(settle);
        }
    }
}

/// To nine digits: few enough for any reader of decimal numbers to get right.
fn settle(value: &mut f64) {
    *value = format!("{value:.8e}").parse().unwrap_or(*value);
}

impl LinkProfile {
    pub fn settle(&mut self) {
        let exchange = &mut self.exchange;
        let measured = [&mut self.rtt_seconds, &mut self.bytes_per_second];
        let exchanged = [&mut exchange.direct_seconds, &mut exchange.quic_seconds];
        measured.into_iter().chain(exchanged.into_iter().flatten()).for_each(settle);
    }

    pub const DOWN: Self = Self { reachable: false, ..Self::new(0.0, 0.0) };

    /// A link that is there, whose exchange was not measured.
    pub const fn new(rtt_seconds: f64, bytes_per_second: f64) -> Self {
        let exchange = ExchangeProfile { direct_seconds: None, quic_seconds: None };
        Self { rtt_seconds, bytes_per_second, reachable: true, exchange }
    }
}

/// Seconds of an all-reduce of `ExchangeProfile::BYTES` between two ranks, per transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ExchangeProfile {
    pub direct_seconds: Option<f64>,
    pub quic_seconds: Option<f64>,
}

impl ExchangeProfile {
    /// A token's row of the widest usual models.
    pub const BYTES: u64 = 16 << 10;
}
