//! Two machines with one identity: a disk that was cloned.

use crate::doctor::facts::{Facts, Here, Profile};
use crate::doctor::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let told = facts.workers().filter(|node| node.reason.contains("another machine"));
    let mut found: Vec<_> =
        told.map(|node| duplicate(&node.name, node.reason.clone(), "")).collect();
    let Some((here, own)) = facts.here.as_ref().and_then(|h| Some((h, h.own.as_ref()?))) else {
        return found;
    };
    let elsewhere = facts.profiles().find(|(node, _)| node.id == own.node);
    let Some((node, profile)) = elsewhere else { return found };
    if is_elsewhere(here, profile) {
        let folder = here.folder.as_ref().map(|f| f.path.as_str()).unwrap_or_default();
        let told = format!(
            "node {} is in use on {} ({}), and its key lies on this machine too ({})",
            own.node.short(),
            profile.hostname,
            addresses(&profile.host.interfaces),
            addresses(&here.host.interfaces)
        );
        found.push(duplicate(&node.name, told, folder));
    } else {
        found.push(Finding::pass("identity.unique", &node.name, "its key is used here alone"));
    }
    found
}

/// Not one address of the machine that registered is one of this machine.
fn is_elsewhere(here: &Here, profile: &Profile) -> bool {
    let own: Vec<_> = here.host.interfaces.iter().flat_map(|i| &i.addresses).collect();
    let mut theirs = profile.host.interfaces.iter().flat_map(|i| &i.addresses).peekable();
    theirs.peek().is_some() && !own.is_empty() && !theirs.any(|address| own.contains(&address))
}

fn addresses(interfaces: &[protocol::host_facts::Interface]) -> String {
    let all: Vec<_> = interfaces.iter().flat_map(|i| i.addresses.first()).cloned().collect();
    all.join(", ")
}

fn duplicate(name: &str, told: String, folder: &str) -> Finding {
    let fix = format!(
        "on the copy: rm -r {}/identity, then: trireme node join TOKEN",
        if folder.is_empty() { "<data-dir>" } else { folder }
    );
    Finding::fail("identity.duplicate", name, told, fix)
}
