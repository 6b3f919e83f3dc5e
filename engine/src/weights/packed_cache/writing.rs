//! Writes a file of packed weights: beside its place, synced, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

use checkpoint::WeightType;
use protocol::encoding;
use protocol::identity::durable_file;
use protocol::ids::Digest;

use super::error::PackedCacheError;
use super::file::{ALIGNMENT, HEADER_BYTES, PIECE_BYTES, PackedEntry, header};
use super::folder::{PackedCache, TEMPORARY};
use super::identity::PackedIdentity;
use crate::kernels::panels::PanelMemory;

/// Written bytes that may wait for the disk: many would push other files out of memory.
const UNSYNCED_BYTES: u64 = 256 << 20;

/// A packed matrix of a stage that may be freed at any time.
pub(super) struct Noted {
    pub(super) name: String,
    pub(super) window: [u64; 4],
    pub(super) weight: WeightType,
    pub(super) order: Vec<u32>,
    pub(super) panels: Weak<PanelMemory>,
}

/// Writes all of `noted`; nothing of it stays after an error.
pub(super) fn write(
    cache: &PackedCache,
    identity: &PackedIdentity,
    noted: &[Noted],
) -> Result<(), PackedCacheError> {
    let sizes = noted.iter().map(|noted| noted.panels.upgrade().map(|panels| panels.bytes()));
    let sizes: Option<Vec<usize>> = sizes.collect();
    let sizes = sizes.ok_or(PackedCacheError::Gone)?;
    let padded = sizes.iter().map(|bytes| (*bytes as u64).next_multiple_of(ALIGNMENT));
    cache.make_room(padded.sum::<u64>() + ALIGNMENT)?;
    let path = cache.path(identity);
    let temporary = temporary_beside(cache.folder(), identity);
    // Its lock ends behind the rename: until then nobody takes it for abandoned.
    let written = write_new(&temporary, identity, noted).and_then(|file| {
        let renamed = fs::rename(&temporary, &path).map(|()| drop(file));
        renamed.map_err(|error| PackedCacheError::io(&path, error))
    });
    if written.is_err() {
        // Perhaps it was never made; the next process that opens the folder removes what stays.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    durable_file::sync_folder(cache.folder())
        .map_err(|error| PackedCacheError::io(cache.folder(), error))
}

fn temporary_beside(folder: &Path, identity: &PackedIdentity) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (own, count) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    folder.join(format!("{}.{own}.{count}.{TEMPORARY}", identity.name()))
}

fn write_new(
    path: &Path,
    identity: &PackedIdentity,
    noted: &[Noted],
) -> Result<File, PackedCacheError> {
    let io = |error| PackedCacheError::io(path, error);
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(io)?;
    // Who opens the folder meanwhile sees that it is not abandoned.
    file.try_lock().map_err(|error| io(error.into()))?;
    let mut end = pad(&mut file, HEADER_BYTES as u64, true).map_err(io)?;
    let (mut entries, mut unsynced) = (Vec::with_capacity(noted.len()), 0);
    for Noted { name, window, weight, order, panels } in noted {
        let panels = panels.upgrade().ok_or(PackedCacheError::Gone)?;
        let (bytes, offset) = (panels.panels(), end);
        let mut digests = Vec::new();
        for piece in bytes.chunks(PIECE_BYTES) {
            digests.push(Digest::of(piece));
            file.write_all(piece).map_err(io)?;
            unsynced += piece.len() as u64;
            if unsynced >= UNSYNCED_BYTES {
                file.sync_data().map_err(io)?;
                unsynced = 0;
            }
        }
        end = pad(&mut file, offset + bytes.len() as u64, false).map_err(io)?;
        let (name, window, weight, order) = (name.clone(), *window, *weight, order.clone());
        let bytes = bytes.len() as u64;
        entries.push(PackedEntry { name, window, weight, offset, bytes, order, digests });
    }
    let table = encoding::encode("table of packed weights", &entries)
        .map_err(|error| PackedCacheError::damaged(path, error.to_string()))?;
    file.write_all(&table).map_err(io)?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    file.write_all(&header(identity, end, &table)).map_err(io)?;
    file.sync_all().map_err(io)?;
    Ok(file)
}

/// Zeros from `at` to the next page; from the file's beginning where nothing is written yet.
fn pad(file: &mut File, at: u64, from_start: bool) -> io::Result<u64> {
    let end = at.next_multiple_of(ALIGNMENT);
    let count = if from_start { end } else { end - at };
    file.write_all(&vec![0; count as usize])?;
    Ok(end)
}
