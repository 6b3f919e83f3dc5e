//! Time of a hop between two stages.

use protocol::node_profile::LinkProfile;

/// Seconds that `bytes` need over `link`, or none where the two ends cannot reach each other.
pub(crate) fn hop_seconds(link: LinkProfile, bytes: u64) -> Option<f64> {
    let rate = link.bytes_per_second.max(1.0);
    link.reachable.then(|| link.rtt_seconds / 2.0 + bytes as f64 / rate)
}
