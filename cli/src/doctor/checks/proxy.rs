//! A proxy that client programs would send the cluster's own traffic to.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let proxy = facts.here.as_ref().and_then(|here| here.proxy.as_ref());
    let Some((variable, value)) = proxy else { return Vec::new() };
    let api = facts.cluster.as_ref().map_or("the cluster", |cluster| cluster.api.as_str());
    let told = format!("{variable}={value}: clients here would ask it for {api}");
    let host = api.split("//").last().unwrap_or(api).split(':').next().unwrap_or(api);
    let fix = format!("export NO_PROXY=localhost,127.0.0.1,{host}");
    vec![Finding::warn("net.proxy", "this machine", told, fix)]
}
