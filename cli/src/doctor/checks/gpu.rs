//! Graphics cards that are there and not used.

use protocol::host_facts::GpuFinding;

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    facts.hosts().filter_map(|(name, host)| judge(name, &host.gpus)).collect()
}

fn judge(name: &str, gpus: &GpuFinding) -> Option<Finding> {
    let GpuFinding { on_bus, module_version, library_version, in_nvml, in_cuda, .. } = gpus;
    if *on_bus == 0 {
        return None;
    }
    if module_version.is_empty() {
        let told = format!("{on_bus} NVIDIA cards on the bus, no driver is loaded");
        let fix = "sudo apt install nvidia-driver (Ubuntu: sudo ubuntu-drivers install), reboot";
        return Some(Finding::fail("gpu.missing", name, told, fix));
    }
    if !library_version.is_empty() && library_version != module_version {
        let told = format!("kernel module {module_version}, libraries {library_version}");
        let fix = "the driver was updated under way: reboot";
        return Some(Finding::fail("gpu.driver", name, told, fix));
    }
    if in_cuda < in_nvml.max(on_bus) {
        let why = if gpus.cuda_reason.is_empty() {
            "see CUDA_VISIBLE_DEVICES".to_owned()
        } else {
            gpus.cuda_reason.clone()
        };
        let told = format!(
            "{on_bus} on the bus, NVML has {in_nvml}, CUDA {in_cuda} (driver {module_version}): \
             {why}"
        );
        let fix = "unset CUDA_VISIBLE_DEVICES; see `nvidia-smi`; use a build with CUDA: \
                   trireme version";
        return Some(Finding::fail("gpu.unused", name, told, fix));
    }
    let told = format!("{in_cuda} of {on_bus} in use, driver {module_version}");
    Some(Finding::pass("gpu.driver", name, told))
}
