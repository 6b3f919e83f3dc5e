//! Members that are not there.

use protocol::admin::NodeState;

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

/// A worker connects within seconds of its start.
const JOINING_SECONDS_MAX: f64 = 120.0;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut ready = 0;
    for node in facts.workers() {
        let seconds = facts.seconds_since(&node.since).unwrap_or(0.0).max(0.0);
        let told = format!("{} for {seconds:.0} s: {}", state(node.state), node.reason);
        let fix = format!(
            "on {}: systemctl status trireme-worker, then: trireme doctor; or for good: \
             trireme node rm {}",
            node.name, node.name
        );
        match node.state {
            NodeState::Lost => found.push(Finding::fail("node.lost", &node.name, told, fix)),
            NodeState::Joining if seconds > JOINING_SECONDS_MAX => {
                found.push(Finding::fail("node.joining", &node.name, told, fix));
            }
            _ => ready += 1,
        }
    }
    if found.is_empty() && facts.cluster.is_some() {
        found.push(Finding::pass("node.present", "workers", format!("{ready} of {ready} there")));
    }
    found
}

fn state(state: NodeState) -> String {
    format!("{state:?}").to_lowercase()
}
