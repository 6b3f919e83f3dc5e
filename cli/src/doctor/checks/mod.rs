//! A check per first-run failure, each a pure judgement over the facts.

mod certificate;
mod clock;
mod context_length;
mod disk;
mod duplicate;
mod flapping;
mod folder;
mod gpu;
mod links;
mod memory;
mod mtu;
mod nodes;
mod ports;
mod proxy;
mod redundancy;
mod stuck;
#[cfg(test)]
mod tests;
mod unified_memory;
mod version;
mod ways;
mod weights;

use super::facts::Facts;
use super::finding::Finding;

type Check = fn(&Facts) -> Vec<Finding>;

/// In the order in which they help: a later one often follows from an earlier.
const CHECKS: [Check; 20] = [
    ways::check,
    nodes::check,
    certificate::check,
    duplicate::check,
    clock::check,
    version::check,
    folder::check,
    ports::check,
    disk::check,
    memory::check,
    gpu::check,
    unified_memory::check,
    links::check,
    mtu::check,
    weights::check,
    flapping::check,
    stuck::check,
    redundancy::check,
    proxy::check,
    context_length::check,
];

pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(facts)).collect()
}
