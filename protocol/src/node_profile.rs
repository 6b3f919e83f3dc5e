//! What a node can do, as measured by its own probe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// Measured facts of one node; sent at registration and when they change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
}

/// One place where a rank can live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceProfile {
    pub kind: DeviceKind,
    pub name: String,
    pub memory_total_bytes: u64,
    /// What stages may take: free memory less the reserve, or the operator's limit.
    pub memory_usable_bytes: u64,
    /// Measured streaming read rate, bytes per second: what a decode step is limited by.
    pub memory_bandwidth: f64,
    /// Measured f32 multiply-accumulates per second: what a prefill is limited by.
    pub matmul_rate: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    Cpu,
    Cuda,
}

/// One direction of a link, as measured by its sender.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkProfile {
    pub rtt_seconds: f64,
    pub bytes_per_second: f64,
    /// False while the two ends cannot reach each other: no edge of a plan may use the link.
    pub reachable: bool,
    /// What two ranks of a group pay to exchange 16 KiB, each way at once; none: not measured.
    #[serde(default)]
    pub exchange: ExchangeProfile,
}

impl LinkProfile {
    pub const DOWN: Self = Self { reachable: false, ..Self::new(0.0, 0.0) };

    /// A link that is there, whose exchange was not measured.
    pub const fn new(rtt_seconds: f64, bytes_per_second: f64) -> Self {
        let exchange = ExchangeProfile { direct_seconds: None, quic_seconds: None };
        Self { rtt_seconds, bytes_per_second, reachable: true, exchange }
    }
}

/// Seconds of an all-reduce of `ExchangeProfile::BYTES` between two ranks, per transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExchangeProfile {
    pub direct_seconds: Option<f64>,
    pub quic_seconds: Option<f64>,
}

impl ExchangeProfile {
    /// A token's row of the widest usual models.
    pub const BYTES: u64 = 16 << 10;
}
