//! Time of the sums inside a group.
//!
//! An exchange of m bytes among p ranks, each sending to each: a + (p - 1) m / b. In parts, as the
//! ranks do it with large messages: 2 a + 2 (p - 1) / p * m / b.

use protocol::node_profile::ExchangeProfile;
use protocol::plan::CollectiveKind;

/// Between two ranks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    /// Of an exchange of `ExchangeProfile::BYTES`.
    pub seconds: f64,
    pub kind: CollectiveKind,
    pub measured: bool,
    pub bytes_per_second: f64,
    pub direct_seconds: Option<f64>,
    pub quic_seconds: Option<f64>,
}

/// Seconds of a copy between a GPU and the host and of the wait for it; assumed, not measured.
const STAGING_SECONDS: f64 = 15e-6;
/// Of a small NCCL exchange between GPUs of one machine, and beyond a link's own time between
/// machines; assumed, not measured.
const NCCL_LOCAL_SECONDS: f64 = 20e-6;
const NCCL_SECONDS: f64 = 15e-6;
/// PCIe 4.0 in 16 lanes; assumed.
const NCCL_LOCAL_RATE: f64 = 20e9;

impl Pair {
    /// Values come from a GPU and go back there.
    pub(crate) fn through_host(self) -> Self {
        Self { seconds: self.seconds + 2.0 * STAGING_SECONDS, ..self }
    }

    pub(crate) fn over_nccl(self, same_node: bool) -> Self {
        if same_node {
            let (seconds, bytes_per_second) = (NCCL_LOCAL_SECONDS, NCCL_LOCAL_RATE);
            return Self { seconds, bytes_per_second, kind: CollectiveKind::Nccl, ..self };
        }
        let link = self.seconds - 2.0 * STAGING_SECONDS;
        Self { seconds: link + NCCL_SECONDS, kind: CollectiveKind::Nccl, ..self }
    }
}

/// Of a whole group: as slow as its slowest pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub kind: CollectiveKind,
    pub ranks: usize,
    /// Version, where the group may use it.
    pub nccl: Option<u32>,
    /// Of the slowest pair, per transport, of `ExchangeProfile::BYTES`; none: not measured.
    pub direct_seconds: Option<f64>,
    pub quic_seconds: Option<f64>,
    /// Without the bytes.
    latency: f64,
    bytes_per_second: f64,
}

impl Exchange {
    pub(crate) fn of(pairs: &[Pair], ranks: usize, nccl: Option<u32>) -> Option<Self> {
        let slowest = pairs.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
        let rate = pairs.iter().map(|p| p.bytes_per_second).fold(f64::INFINITY, f64::min).max(1.0);
        let bytes = ExchangeProfile::BYTES as f64;
        Some(Self {
            kind: slowest.kind,
            ranks,
            nccl,
            direct_seconds: slowest.direct_seconds,
            quic_seconds: slowest.quic_seconds,
            latency: (slowest.seconds - bytes / rate).max(0.0),
            bytes_per_second: rate,
        })
    }

    pub(crate) fn all_reduce_seconds(&self, bytes: u64) -> f64 {
        let (ranks, wire) = (self.ranks as f64, bytes as f64 / self.bytes_per_second);
        let at_once = self.latency + (ranks - 1.0) * wire;
        let in_parts = 2.0 * self.latency + 2.0 * (ranks - 1.0) / ranks * wire;
        at_once.min(in_parts)
    }

    /// Rank 0 takes `bytes` from the others together.
    pub(crate) fn gather_seconds(&self, bytes: u64) -> f64 {
        self.latency + bytes as f64 / self.bytes_per_second
    }
}
