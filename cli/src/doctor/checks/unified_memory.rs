//! Boards whose GPU computes in the host's memory, where tools show none.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::output::bytes::human;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let boards = facts.hosts().filter(|(_, host)| !host.gpus.tegra.is_empty());
    let boards = boards.map(|(name, host)| {
        let (gpus, free) = (&host.gpus, human(host.memory_available_bytes));
        if gpus.in_cuda == 0 {
            let told = format!(
                "{}: its GPU shares the host's memory ({free} free), CUDA shows none: {}",
                gpus.tegra, gpus.cuda_reason
            );
            let fix = "sudo apt install nvidia-l4t-cuda, and use an aarch64 build with CUDA";
            return Finding::fail("gpu.unified", name, told, fix);
        }
        let counted = facts.profiles().find(|(node, _)| node.name == name);
        if counted.is_some_and(|(_, profile)| !profile.unified) {
            let told = format!("{}: its memory is the host's, counted as its own", gpus.tegra);
            let fix = "limit it by hand, to what is free: --devices cuda:0=8GiB";
            return Finding::fail("gpu.unified", name, told, fix);
        }
        let told = format!("{}: takes of the host's {free}", gpus.tegra);
        Finding::pass("gpu.unified", name, told)
    });
    boards.collect()
}
