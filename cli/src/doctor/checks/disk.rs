//! Disks that are full or too slow.

use protocol::host_facts::DiskFacts;

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::output::bytes::human;

/// Below this a coordinator's log soon stops, and no weights come.
const FREE_FAIL: u64 = 512 << 20;
const FREE_WARN: u64 = 4 << 30;
/// A hard disk of its own reaches this; less is a network drive or an SD card.
const WRITE_WARN: f64 = 80e6;
/// Each change waits for a sync on a majority of coordinators.
const SYNC_WARN: f64 = 0.05;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let disks = facts.hosts().filter_map(|(name, host)| Some((name, host.disk.as_ref()?)));
    disks.flat_map(|(name, disk)| [Some(space(name, disk)), speed(name, disk)]).flatten().collect()
}

fn space(name: &str, disk: &DiskFacts) -> Finding {
    let (free, total) = (human(disk.free_bytes), human(disk.total_bytes));
    let told = format!("{free} free of {total} at {}", disk.path);
    let fix = format!("make room (du -xh --max-depth=2 {}), or move it: --data-dir", disk.path);
    match disk.free_bytes {
        free if free < FREE_FAIL => Finding::fail("disk.full", name, told, fix),
        free if free < FREE_WARN => Finding::warn("disk.full", name, told, fix),
        _ => Finding::pass("disk.space", name, told),
    }
}

/// Nothing where it was not measured: this machine's is, and that of a node that was asked.
fn speed(name: &str, disk: &DiskFacts) -> Option<Finding> {
    let (write, sync) = (disk.write_bytes_per_second?, disk.sync_seconds?);
    let told = format!("writes {:.0} MB/s, a safe small write {:.1} ms", write / 1e6, sync * 1e3);
    let fix = "put the data directory on a local SSD: --data-dir";
    Some(if write < WRITE_WARN || sync > SYNC_WARN {
        Finding::warn("disk.slow", name, told, fix)
    } else {
        Finding::pass("disk.speed", name, told)
    })
}
