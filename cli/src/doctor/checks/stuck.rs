//! Work that waits longer than it may.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

/// Weights of a large model over a slow line still arrive within this.
const OPERATION_SECONDS_MAX: f64 = 3600.0;
const DEPLOYMENT_SECONDS_MAX: f64 = 900.0;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for operation in facts.cluster.iter().flat_map(|cluster| &cluster.operations) {
        let seconds = facts.seconds_since(&operation.started_at).unwrap_or(0.0);
        if seconds > OPERATION_SECONDS_MAX {
            let told = format!("{} for {seconds:.0} s: {}", operation.id, operation.note);
            let fix = "trireme node ls -o wide: a node of it is gone; then start it again";
            found.push(Finding::fail("work.stuck", &operation.what, told, fix));
        }
    }
    for model in facts.cluster.iter().flat_map(|cluster| &cluster.models) {
        let Some(deployed) = model.deployed.as_ref().filter(|d| !d.is_ready) else { continue };
        let seconds = facts.seconds_since(&deployed.since).unwrap_or(0.0).max(0.0);
        let told = format!("{} for {seconds:.0} s: {}", deployed.state, deployed.reason);
        let fix = format!(
            "trireme plan {}: says what is missing; then trireme model undeploy {}, or add a node",
            model.name, model.name
        );
        if seconds > DEPLOYMENT_SECONDS_MAX || deployed.state != "starting" {
            found.push(Finding::fail("model.pending", &model.name, told, fix));
        }
    }
    found
}
