//! Nodes that come and go.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

/// Words with which the cluster tells that a node waits before it is used again.
const TOLD: [&str; 3] = ["was lost", "flap", "used again in"];

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let comes_and_goes = |reason: &str| TOLD.iter().any(|word| reason.contains(word));
    let nodes = facts.workers().filter(|node| comes_and_goes(&node.reason));
    let told = nodes.map(|node| {
        let fix = format!(
            "on {}: journalctl -u trireme-worker, dmesg; then cable and power. Until then: \
             trireme node rm {} (or cordon)",
            node.name, node.name
        );
        Finding::warn("node.flapping", &node.name, node.reason.clone(), fix)
    });
    told.collect()
}
