//! Versions that do not speak to each other.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let own = &facts.version;
    let mut found = Vec::new();
    for (node, profile) in facts.profiles().filter(|(_, profile)| !profile.version.is_empty()) {
        let theirs = &profile.version;
        let told = format!("{theirs}, this program is {own}");
        let fix = format!("install {} there and restart it", newer(own, theirs));
        match minors_apart(own, theirs) {
            Some(0) if own == theirs => {}
            Some(0 | 1) => found.push(Finding::warn("version", &node.name, told, fix)),
            _ => found.push(Finding::fail("version", &node.name, told, fix)),
        }
    }
    if found.is_empty() && facts.profiles().next().is_some() {
        found.push(Finding::pass("version", "workers", format!("all {own}")));
    }
    found
}

/// Neighbouring minor versions work together; none where the major ones differ.
fn minors_apart(a: &str, b: &str) -> Option<u64> {
    let ((major_a, minor_a), (major_b, minor_b)) = (parts(a)?, parts(b)?);
    (major_a == major_b).then(|| minor_a.abs_diff(minor_b))
}

fn newer<'a>(a: &'a str, b: &'a str) -> &'a str {
    if parts(a) < parts(b) { b } else { a }
}

fn parts(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
