//! Whether the disk has room before a transfer starts.

use std::path::Path;

use super::error::WeightStoreError;

/// Left to the rest of the machine.
const RESERVE_BYTES: u64 = 64 << 20;

/// Fails when `folder`'s file system has less than `needed` bytes and a reserve. Where the system
/// does not say how much is free, a full disk shows at the write instead.
pub(super) fn check(folder: &Path, needed: u64) -> Result<(), WeightStoreError> {
    let needed = needed.saturating_add(RESERVE_BYTES);
    match rustix::fs::statvfs(folder).map(|found| found.f_bavail.saturating_mul(found.f_frsize)) {
        Ok(free) if free < needed => {
            Err(WeightStoreError::NoSpace { path: folder.to_owned(), needed, free })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_any_disk_holds_is_refused_with_both_numbers() {
        let error = check(Path::new("/"), u64::MAX / 2).expect_err("too much").to_string();
        assert!(error.contains("bytes free") && error.contains("needed"), "{error}");
        check(Path::new("/"), 0).expect("room for nothing");
    }
}
