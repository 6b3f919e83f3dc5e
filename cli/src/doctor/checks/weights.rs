//! Weights that would travel again at each start.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::output::bytes::human;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, host) in facts.hosts() {
        let Some(disk) = host.disk.as_ref().filter(|disk| disk.is_volatile) else { continue };
        let told = format!("{} is memory or a container's own layer", disk.path);
        let fix = "keep the data directory on a disk or a volume: --data-dir /var/lib/trireme";
        let told = format!("{told}: identity and weights are gone after a restart");
        found.push(Finding::warn("weights.refetched", name, told, fix));
    }
    for model in facts.cluster.iter().flat_map(|cluster| &cluster.models) {
        if !model.holders.is_empty() || model.weight_bytes == 0 {
            continue;
        }
        let told = format!("no node holds all {} of it any more", human(model.weight_bytes));
        let fix = format!("import it again: trireme model import PATH --name {}", model.name);
        found.push(Finding::fail("weights.gone", &model.name, told, fix));
    }
    found
}
