//! What each layer between a graphics card and CUDA says, for people whose GPU is not used.

use std::fs;
use std::path::Path;

use engine::gpu::visible_gpus;
use protocol::host_facts::GpuFinding;

use super::readings;

const NVIDIA: &str = "0x10de";
/// Class of display controllers.
const DISPLAY: &str = "0x03";

/// Looks below `root` for what the kernel tells, and asks NVML and CUDA.
pub(crate) fn finding(root: &Path) -> GpuFinding {
    let readings = readings::take();
    let (in_cuda, cuda_reason) = match visible_gpus() {
        Ok(gpus) => (gpus.len() as u32, String::new()),
        Err(error) => (0, error.to_string()),
    };
    GpuFinding {
        on_bus: cards(&root.join("sys/bus/pci/devices")),
        tegra: tegra(root),
        module_version: module_version(root),
        library_version: readings.driver,
        in_nvml: readings.gpus.len() as u32,
        in_cuda,
        cuda_reason,
    }
}

fn cards(folder: &Path) -> u32 {
    let read = |path: &Path, file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
    let is_card = |path: &Path| {
        read(path, "vendor").trim() == NVIDIA && read(path, "class").starts_with(DISPLAY)
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| is_card(&entry.path())).count() as u32
}

fn tegra(root: &Path) -> String {
    let read = |file: &str| fs::read_to_string(root.join("proc/device-tree").join(file));
    let is = read("compatible").is_ok_and(|text| text.contains("nvidia,tegra"));
    let model = read("model").unwrap_or_default();
    if is { model.trim_end_matches('\0').to_owned() } else { String::new() }
}

/// The first word of digits and dots after `Kernel Module`.
fn module_version(root: &Path) -> String {
    let text = fs::read_to_string(root.join("proc/driver/nvidia/version")).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let after = line.split("Kernel Module").nth(1).unwrap_or_default();
    let version =
        |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    after.split_whitespace().find(version).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    #[test]
    fn a_card_without_its_module_is_seen_on_the_bus() {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), "sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
        write(root.path(), "sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n");
        // Its sound, and a card of somebody else.
        write(root.path(), "sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n");
        write(root.path(), "sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n");
        write(root.path(), "sys/bus/pci/devices/0000:02:00.0/vendor", "0x1002\n");
        write(root.path(), "sys/bus/pci/devices/0000:02:00.0/class", "0x030000\n");
        let found = finding(root.path());
        assert_eq!(
            (found.on_bus, found.module_version.as_str(), found.tegra.as_str()),
            (1, "", "")
        );
    }

    #[test]
    fn versions_of_both_kinds_of_module_are_read() {
        for (name, version) in [
            ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22", "550.54.14"),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Rel",
                "580.95.05",
            ),
        ] {
            let root = tempfile::tempdir().expect("a folder");
            write(root.path(), "proc/driver/nvidia/version", name);
            assert_eq!(finding(root.path()).module_version, version);
        }
    }

    #[test]
    fn a_board_with_one_memory_is_known_by_its_device_tree() {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), "proc/device-tree/compatible", "nvidia,p3767\0nvidia,tegra234\0");
        write(root.path(), "proc/device-tree/model", "NVIDIA Jetson Orin NX\0");
        assert_eq!(finding(root.path()).tegra, "NVIDIA Jetson Orin NX");
    }
}
