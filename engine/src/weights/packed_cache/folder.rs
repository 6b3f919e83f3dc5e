//! The folder of packed weights, of bounded size: the least recently used go first.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::PackedCacheError;
use super::identity::PackedIdentity;
use super::shard::PackedShard;

/// Left to the rest of the machine: a cache must not be what fills a disk.
const RESERVE_BYTES: u64 = 1 << 30;
pub(super) const TEMPORARY: &str = "tmp";
const KEPT: &str = "panels";

/// Keeps packed weights in a folder. Several processes may use the same one.
#[derive(Clone, Debug)]
pub struct PackedCache {
    folder: PathBuf,
    limit_bytes: u64,
}

impl PackedCache {
    /// Keeps up to `limit_bytes` in `folder`, which is created where missing, and removes what
    /// processes left there that ended while they wrote.
    pub fn open(folder: &Path, limit_bytes: u64) -> Result<Self, PackedCacheError> {
        fs::create_dir_all(folder).map_err(|error| PackedCacheError::io(folder, error))?;
        let cache = Self { folder: folder.to_owned(), limit_bytes };
        for (path, _) in cache.files(TEMPORARY)? {
            // Who writes holds a lock, which ends with its process.
            let abandoned = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
            if abandoned && let Err(error) = fs::remove_file(&path) {
                tracing::debug!(path = %path.display(), %error, "an unfinished file stays");
            }
        }
        Ok(cache)
    }

    /// The packed weights of `identity`, if they are here and whole, checked on `threads` threads;
    /// else a place to note them as they are packed.
    pub fn shard(&self, identity: PackedIdentity, threads: usize) -> PackedShard {
        PackedShard::open(self.clone(), identity, threads)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, identity: &PackedIdentity) -> PathBuf {
        self.folder.join(identity.name())
    }

    /// Makes room for a file of `needed` bytes, or says why there is none.
    pub(super) fn make_room(&self, needed: u64) -> Result<(), PackedCacheError> {
        let limit = self.limit_bytes;
        if needed > limit {
            return Err(PackedCacheError::OverLimit { needed, limit });
        }
        let mut kept = self.files(KEPT)?;
        kept.sort_by_key(|(_, file)| std::cmp::Reverse(file.modified().ok()));
        let mut total: u64 = kept.iter().map(|(_, file)| file.len()).sum();
        while total.saturating_add(needed) > limit
            && let Some((path, file)) = kept.pop()
        {
            // Who has it mapped keeps what is mapped.
            fs::remove_file(&path).map_err(|error| PackedCacheError::io(&path, error))?;
            total -= file.len();
        }
        let path = self.folder.clone();
        // Where the system does not say how much is free, a full disk shows at the write.
        let free = rustix::fs::statvfs(&path).map(|f| f.f_bavail.saturating_mul(f.f_frsize));
        match free {
            Ok(free) if free < needed.saturating_add(RESERVE_BYTES) => {
                Err(PackedCacheError::NoSpace { path, needed, free })
            }
            _ => Ok(()),
        }
    }

    fn files(&self, ending: &str) -> Result<Vec<(PathBuf, fs::Metadata)>, PackedCacheError> {
        let failed = |error: io::Error| PackedCacheError::io(&self.folder, error);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|found| found == ending)
                // Another process may have removed it in between.
                && let Ok(metadata) = fs::metadata(&path)
            {
                files.push((path, metadata));
            }
        }
        Ok(files)
    }
}

/// Notes that a file was used: what was not for the longest time goes first.
pub(super) fn touch(path: &Path) {
    let now = SystemTime::now();
    let touched = File::open(path).and_then(|file| file.set_modified(now));
    if let Err(error) = touched {
        tracing::debug!(path = %path.display(), %error, "the time of use is not kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_room_on_the_disk_or_under_the_limit_nothing_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = PackedCache::open(folder.path(), u64::MAX).expect("it opens");
        let error = cache.make_room(u64::MAX / 2).expect_err("no disk is as large").to_string();
        assert!(error.contains("bytes free") && error.contains("reserve"), "{error}");
        let cache = PackedCache::open(folder.path(), 1000).expect("it opens");
        let error = cache.make_room(1001).expect_err("over the limit").to_string();
        assert!(error.contains("1001") && error.contains("1000"), "{error}");
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_makes_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = PackedCache::open(folder.path(), 1000).expect("it opens");
        for (name, minutes) in [("old", 3), ("used", 2), ("new", 1)] {
            let path = folder.path().join(name).with_extension(KEPT);
            fs::write(&path, [0; 300]).expect("written");
            let then = SystemTime::now() - std::time::Duration::from_secs(60 * minutes);
            File::open(&path).and_then(|file| file.set_modified(then)).expect("its time");
        }
        touch(&folder.path().join("old.panels"));
        cache.make_room(400).expect("room");
        let left = |name: &str| folder.path().join(name).exists();
        assert!(left("old.panels") && left("new.panels") && !left("used.panels"));
    }

    #[test]
    fn an_unfinished_file_goes_unless_somebody_writes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let [left, written] = ["left.tmp", "written.tmp"].map(|name| folder.path().join(name));
        fs::write(&left, b"half").expect("written");
        let file = File::create(&written).expect("created");
        file.try_lock().expect("nobody has it");
        PackedCache::open(folder.path(), 1000).expect("it opens");
        assert!(!left.exists() && written.exists());
    }
}
