//! Short measurements of a machine at work: how fast its disk is, and how fast memory is copied.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use protocol::host_facts::DiskFacts;

const WRITTEN_BYTES: u64 = 32 << 20;
/// Brought to the disk at once; a slow one is not kept busy for longer than it must.
const PIECE_BYTES: usize = 4 << 20;
const WRITE_TIME: Duration = Duration::from_millis(500);
const SYNCS: u32 = 8;
const SYNC_TIME: Duration = Duration::from_millis(250);
/// Beyond what a core's own caches hold; with its copy it fits what a worker keeps for itself.
const COPIED_BYTES: usize = 16 << 20;
const COPY_TIME: Duration = Duration::from_millis(100);

/// Some large writes and some small ones, each brought to the disk, as a coordinator's are. Nothing
/// is measured on a disk that is almost full.
pub fn measure_disk(folder: &Path, disk: &mut DiskFacts) -> io::Result<()> {
    if disk.free_bytes < 8 * WRITTEN_BYTES {
        return Ok(());
    }
    let path = folder.join(".doctor-speed");
    let measured = write(&path);
    let _ = fs::remove_file(&path);
    let (write, sync) = measured?;
    (disk.write_bytes_per_second, disk.sync_seconds) = (Some(write), Some(sync));
    Ok(())
}

/// Bytes a second, and seconds of a small write.
fn write(path: &Path) -> io::Result<(f64, f64)> {
    let mut file = File::create(path)?;
    let piece = vec![0x5a; PIECE_BYTES];
    let (started, mut written) = (Instant::now(), 0_u64);
    while written < WRITTEN_BYTES && started.elapsed() < WRITE_TIME {
        file.write_all(&piece)?;
        file.sync_all()?;
        written += PIECE_BYTES as u64;
    }
    let rate = written as f64 / started.elapsed().as_secs_f64();
    let (started, mut syncs) = (Instant::now(), 0_u32);
    while syncs < SYNCS && started.elapsed() < SYNC_TIME {
        file.write_all(&piece[..4096])?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok((rate, started.elapsed().as_secs_f64() / f64::from(syncs)))
}

/// Bytes a second that one thread copies from memory to memory.
pub(crate) fn measure_copy() -> f64 {
    let (from, mut to) = (vec![1_u8; COPIED_BYTES], vec![0_u8; COPIED_BYTES]);
    let (started, mut copied) = (Instant::now(), 0);
    while copied == 0 || started.elapsed() < COPY_TIME {
        to.copy_from_slice(black_box(&from));
        black_box(&to);
        copied += COPIED_BYTES;
    }
    copied as f64 / started.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_measured_without_a_trace_and_an_almost_full_one_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut disk = DiskFacts { free_bytes: 1 << 40, ..DiskFacts::default() };
        measure_disk(folder.path(), &mut disk).expect("writable");
        assert!(disk.write_bytes_per_second.is_some_and(|rate| rate > 0.0), "{disk:?}");
        assert!(disk.sync_seconds.is_some_and(|seconds| seconds > 0.0), "{disk:?}");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
        let mut full = DiskFacts { free_bytes: 1 << 20, ..DiskFacts::default() };
        measure_disk(folder.path(), &mut full).expect("nothing written");
        assert_eq!(full.write_bytes_per_second, None);
        assert!(measure_disk(&folder.path().join("gone"), &mut disk).is_err());
        assert!(measure_copy() > 0.0);
    }
}
