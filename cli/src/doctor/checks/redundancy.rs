//! What one dead machine would take with it.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(cluster) = &facts.cluster else { return Vec::new() };
    let mut found = Vec::new();
    if cluster.coordinators < 3 {
        let told = format!("{} of them: the API ends with one", cluster.coordinators);
        let fix = "add up to three: trireme cluster join-token --role coordinator";
        found.push(Finding::warn("cluster.redundancy", "coordinators", told, fix));
    }
    if facts.workers().count() < 2 {
        return found;
    }
    for model in cluster.models.iter().filter(|m| m.deployed.is_some() && m.holders.len() == 1) {
        let holder = &model.holders[0];
        let told = format!("only {holder} holds all of it: if it dies, the model stops");
        let fix = format!(
            "copy the file to a second worker, then: trireme model import PATH --name {} --node \
             NODE",
            model.name
        );
        found.push(Finding::warn("model.one_holder", &model.name, told, fix));
    }
    found
}
