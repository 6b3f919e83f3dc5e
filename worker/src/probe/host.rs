//! The machine around the worker: interfaces, disk, memory, graphics cards and their drivers.

use std::fs;
use std::path::Path;

use protocol::host_facts::{DiskFacts, HostFacts, Interface};
use sysinfo::{MemoryRefreshKind, Networks, RefreshKind, System};

use crate::gpu;

/// Kinds of file systems (as `statfs` numbers them) that forget: tmpfs, ramfs, overlayfs.
const VOLATILE: [u64; 3] = [0x0102_1994, 0x8584_58f6, 0x794c_7630];

/// Looks, and measures nothing: this takes no time to speak of.
pub fn host_facts(data_dir: &Path, memory_limit: Option<u64>) -> HostFacts {
    let refresh = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
    let memory = System::new_with_specifics(refresh);
    HostFacts {
        interfaces: interfaces(),
        disk: disk(data_dir),
        memory_available_bytes: memory.map_or(0, |system| system.available_memory()),
        memory_limit_bytes: memory_limit,
        gpus: gpu::finding(Path::new("/")),
        ..HostFacts::default()
    }
}

fn interfaces() -> Vec<Interface> {
    let Ok(networks) = Networks::new_with_refreshed_list() else { return Vec::new() };
    let mut found: Vec<_> = networks
        .iter()
        .map(|(name, network)| {
            let folder = Path::new("/sys/class/net").join(name);
            let speed = fs::read_to_string(folder.join("speed")).ok();
            // A cable that is not plugged in has -1.
            let speed = speed.and_then(|text| text.trim().parse().ok());
            let addresses = network.ip_networks().iter().map(|ip| ip.addr.to_string());
            Interface {
                name: name.to_string_lossy().into_owned(),
                addresses: addresses.collect(),
                mtu: network.mtu(),
                megabits_per_second: speed,
                is_virtual: fs::canonicalize(&folder)
                    .is_ok_and(|path| path.starts_with("/sys/devices/virtual")),
            }
        })
        .filter(|interface| interface.name != "lo")
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn disk(folder: &Path) -> Option<DiskFacts> {
    let room = rustix::fs::statvfs(folder).ok()?;
    let kind = rustix::fs::statfs(folder).ok().map(|found| found.f_type as u64);
    Some(DiskFacts {
        path: folder.display().to_string(),
        total_bytes: room.f_blocks.saturating_mul(room.f_frsize),
        free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
        is_volatile: kind.is_some_and(|kind| VOLATILE.contains(&(kind & 0xffff_ffff))),
        write_bytes_per_second: None,
        sync_seconds: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_tells_its_memory_and_the_disk_under_a_folder() {
        let facts = host_facts(Path::new("/"), Some(1));
        assert!(facts.memory_available_bytes > 0 && facts.memory_limit_bytes == Some(1));
        let disk = facts.disk.expect("the root has a file system");
        assert!(disk.total_bytes >= disk.free_bytes && disk.total_bytes > 0, "{disk:?}");
        assert!(disk_of_shared_memory().is_none_or(|disk| disk.is_volatile));
    }

    fn disk_of_shared_memory() -> Option<DiskFacts> {
        disk(Path::new("/dev/shm"))
    }
}
