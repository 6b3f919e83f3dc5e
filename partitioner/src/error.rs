//! Why there is no plan.

use protocol::plan::PlanInvalid;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error("no node offers a device")]
    NoDevice,
    #[error("{name} is {value}, expected 1 to {most}")]
    BadOption { name: &'static str, value: u32, most: u32 },
    #[error("tp names the ranks of {degrees} stages, but {stages} were asked for")]
    Degrees { stages: u32, degrees: u32 },
    #[error("heads of this model are not made of blocks of {block}, take f16 for its KV")]
    KvType { block: u32 },
    #[error("{asked} ranks were asked for, but there are only {usable} devices")]
    TooFewForRanks { asked: u32, usable: u32 },
    #[error("{asked} stages were asked for, but only {usable} devices can hold a layer")]
    TooFewDevices { asked: u32, usable: u32 },
    #[error(
        "needs {} more to fit in {asked} stages: {} with KV and workspace; it fits in {fits}",
        gib(*missing_bytes), gib(*needed_bytes)
    )]
    TooFewStages { asked: u32, fits: u32, missing_bytes: u64, needed_bytes: u64 },
    #[error("no stages of {} ranks fit the devices and their links", listed(degrees))]
    NoSuchShape { degrees: Vec<u32> },
    /// `missing_bytes` is what the layers need that found no place in the best packing.
    #[error(
        "needs {} more: {} for weights, KV and workspace, usable {} on {devices} devices",
        gib(*missing_bytes), gib(*needed_bytes), gib(*usable_bytes)
    )]
    DoesNotFit { missing_bytes: u64, needed_bytes: u64, usable_bytes: u64, devices: u32 },
    /// Memory would be enough, but the nodes that have it cannot reach each other.
    #[error("no order of the devices avoids the links that are down")]
    NoRoute,
    #[error("the planner made an invalid plan ({0}): please report this")]
    Invalid(String),
}

impl From<PlanInvalid> for PlanError {
    fn from(error: PlanInvalid) -> Self {
        Self::Invalid(error.to_string())
    }
}

fn listed(degrees: &[u32]) -> String {
    let degrees: Vec<_> = degrees.iter().map(u32::to_string).collect();
    degrees.join(", ")
}

fn gib(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}
