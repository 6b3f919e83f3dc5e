//! A coordinator's disk: what was written but not synced may be lost, in part, when power fails.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coordinator::testing::Blob;
use redb::StorageBackend;

use super::super::random::Random;
use super::sabotage::Sabotage;

#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// As a running process sees the log file.
    seen: Vec<u8>,
    /// What survives.
    durable: Vec<u8>,
    unsynced: Vec<Written>,
    snapshot: Option<Vec<u8>>,
    /// Counts starts: a process that is gone writes no more.
    life: u64,
    /// Writes until the power fails in the middle of them.
    writes_left: Option<u32>,
    failed: bool,
}

#[derive(Debug)]
enum Written {
    Bytes(u64, Vec<u8>),
    Length(u64),
}

impl Disk {
    /// What a process that starts now works with.
    pub(super) fn open(&self, sabotage: Sabotage) -> OpenDisk {
        let mut content = self.lock();
        content.life += 1;
        OpenDisk { disk: self.clone(), life: content.life, sabotage }
    }

    /// The power will fail before the write after the next `writes`.
    pub(super) fn fail_after(&self, writes: u32) {
        self.lock().writes_left = Some(writes);
    }

    /// The power will not fail.
    pub(super) fn heal(&self) {
        self.lock().writes_left = None;
    }

    pub(super) fn has_failed(&self) -> bool {
        self.lock().failed
    }

    /// Whether the power failed; answers once.
    pub(super) fn take_failure(&self) -> bool {
        std::mem::take(&mut self.lock().failed)
    }

    /// The process is gone: what it wrote stays, as the system writes it out later.
    pub(super) fn kill(&self) {
        let mut content = self.lock();
        content.life += 1;
        content.writes_left = None;
    }

    /// The power is gone: of what was not synced, any part may have reached the disk.
    pub(super) fn cut_power(&self, random: &mut Random) {
        let mut content = self.lock();
        content.life += 1;
        content.writes_left = None;
        let chance = [0, 50, 100][random.below(3)];
        for written in std::mem::take(&mut content.unsynced) {
            if random.percent(chance) {
                written.apply(&mut content.durable);
            }
        }
        content.seen = content.durable.clone();
    }

    pub(super) fn snapshot(&self) -> Option<Vec<u8>> {
        self.lock().snapshot.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn apply(self, to: &mut Vec<u8>) {
        match self {
            Self::Length(length) => to.resize(length as usize, 0),
            Self::Bytes(offset, bytes) => {
                let (start, end) = (offset as usize, offset as usize + bytes.len());
                to.resize(to.len().max(end), 0);
                to[start..end].copy_from_slice(&bytes);
            }
        }
    }
}

/// A disk in the hands of one process.
#[derive(Clone, Debug)]
pub(super) struct OpenDisk {
    disk: Disk,
    life: u64,
    sabotage: Sabotage,
}

impl OpenDisk {
    fn content(&self) -> io::Result<MutexGuard<'_, Content>> {
        let content = self.disk.lock();
        if content.life == self.life && !content.failed {
            return Ok(content);
        }
        Err(io::Error::other("the power is gone"))
    }

    fn writing(&self) -> io::Result<MutexGuard<'_, Content>> {
        let mut content = self.content()?;
        match &mut content.writes_left {
            Some(0) => {
                content.failed = true;
                Err(io::Error::other("the power fails"))
            }
            Some(left) => {
                *left -= 1;
                Ok(content)
            }
            None => Ok(content),
        }
    }
}

impl StorageBackend for OpenDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content()?.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = self.content()?;
        let start = offset as usize;
        let Some(found) = content.seen.get(start..start + out.len()) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut content = self.writing()?;
        content.seen.resize(length as usize, 0);
        content.unsynced.push(Written::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = self.writing()?;
        if self.sabotage == Sabotage::SyncSkipped {
            return Ok(());
        }
        for written in std::mem::take(&mut content.unsynced) {
            written.apply(&mut content.durable);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut content = self.writing()?;
        let start = offset as usize;
        let Some(place) = content.seen.get_mut(start..start + data.len()) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        place.copy_from_slice(data);
        content.unsynced.push(Written::Bytes(offset, data.to_owned()));
        Ok(())
    }
}

impl Blob for OpenDisk {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.content()?.snapshot.clone())
    }

    /// Written beside the old one, synced and renamed: all of it or nothing.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.writing()?.snapshot = Some(self.sabotage.of_snapshot(bytes));
        Ok(())
    }
}
