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

/// Of a whole group: as slow as its slowest pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub kind: CollectiveKind,
    pub ranks: usize,
    /// Of the slowest pair, per transport, of `ExchangeProfile::BYTES`; none: not measured.
    pub direct_seconds: Option<f64>,
    pub quic_seconds: Option<f64>,
    /// Without the bytes.
    latency: f64,
    bytes_per_second: f64,
}

impl Exchange {
    pub(crate) fn of(pairs: &[Pair], ranks: usize) -> Option<Self> {
        let slowest = pairs.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
        let rate = pairs.iter().map(|p| p.bytes_per_second).fold(f64::INFINITY, f64::min).max(1.0);
        let bytes = ExchangeProfile::BYTES as f64;
        Some(Self {
            kind: slowest.kind,
            ranks,
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
