//! Memory that was promised and is not there: later it looks like a lost connection.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::output::bytes::human;

/// Less is no use to any model worth splitting.
const USABLE_MIN: u64 = 64 << 20;
/// A machine that swaps, or shares its memory with too many others, stays below this.
const COPY_WARN: f64 = 1e9;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, host) in facts.hosts().filter(|(_, host)| host.memory_available_bytes > 0) {
        let free = human(host.memory_available_bytes);
        match host.memory_limit_bytes {
            Some(limit) if limit > host.memory_available_bytes => {
                let told = format!("--memory-limit is {}, {free} were free", human(limit));
                let fix =
                    format!("start the worker with --memory-limit below {free}, or free some");
                found.push(Finding::fail("memory.limit", name, told, fix));
            }
            _ => found.push(Finding::pass("memory.limit", name, format!("{free} free"))),
        }
    }
    let measured =
        facts.hosts().filter_map(|(n, host)| Some((n, host.memory_copy_bytes_per_second?)));
    found.extend(measured.map(|(name, rate)| copy(name, rate)));
    for (node, profile) in facts.profiles().filter(|(_, p)| p.usable_bytes < USABLE_MIN) {
        let told = format!("{} usable for layers", human(profile.usable_bytes));
        let fix = "stop what else takes memory there, or raise --memory-limit, and restart it";
        found.push(Finding::fail("memory.usable", &node.name, told, fix));
    }
    found
}

fn copy(name: &str, bytes_per_second: f64) -> Finding {
    let told = format!("a thread copies {:.1} GB/s", bytes_per_second / 1e9);
    if bytes_per_second < COPY_WARN {
        Finding::warn("memory.slow", name, told, "see what else runs there: vmstat 1")
    } else {
        Finding::pass("memory.speed", name, told)
    }
}
