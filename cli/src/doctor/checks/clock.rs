//! Clocks apart: certificates look expired or not yet valid, logs do not line up.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

/// The API tells its time in whole seconds.
const WARN_SECONDS: f64 = 2.5;
/// Certificates are backdated by an hour: beyond half of it they begin to fail.
const FAIL_SECONDS: f64 = 1800.0;
const FIX: &str = "sudo apt install chrony (or: timedatectl set-ntp true)";

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let name = facts.here.as_ref().map_or("this machine", |here| here.name.as_str());
    let here = facts.cluster.as_ref().and_then(|c| c.clock_ahead_seconds);
    let here = here.map(|ahead| judge(name, ahead));
    let own = facts.here.as_ref().and_then(|here| here.own.as_ref()).map(|own| own.node);
    let others = facts.profiles().filter(|(node, _)| Some(node.id) != own);
    let others = others
        .filter_map(|(node, profile)| Some(judge(&node.name, profile.host.clock_ahead_seconds?)));
    here.into_iter().chain(others).collect()
}

fn judge(name: &str, ahead: f64) -> Finding {
    let told = format!("{ahead:+.1} s beside the coordinator's clock");
    match ahead.abs() {
        apart if apart > FAIL_SECONDS => Finding::fail("time.skew", name, told, FIX),
        apart if apart > WARN_SECONDS => Finding::warn("time.skew", name, told, FIX),
        _ => Finding::pass("time.skew", name, told),
    }
}
