//! What this coordinator last answered for, in a file beside the log.
//!
//! Where redb's newest commit is damaged it quietly goes back to the one before; a file that was
//! deleted or restored is simply a shorter log. Either would break Raft's promises without a word:
//! a vote given twice, an acknowledged entry gone. The mark is raised after each durable write and
//! before its answer, so a log that stands below its mark has lost something.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use protocol::identity::durable_file;
use serde::{Deserialize, Serialize};

use super::record::{self, damaged};
use crate::raft::type_config::{LogId, Vote};

/// Two slots are written in turns: a torn write leaves the other one.
const SLOTS: u64 = 2;
const SLOT_BYTES: usize = 2048;
const PLACE: &[u8] = b"mark";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) vote: Option<Vote>,
    pub(super) last: Option<LogId>,
}

pub(super) struct MarkFile {
    file: File,
    sequence: u64,
    mark: Mark,
}

#[derive(Serialize, Deserialize)]
struct Slot {
    sequence: u64,
    mark: Mark,
}

impl MarkFile {
    /// `None` where there is no such file.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let slots: Vec<_> = (0..SLOTS).map(|slot| read(&file, slot)).collect::<io::Result<_>>()?;
        let newest = slots.into_iter().flatten().max_by_key(|slot| slot.sequence);
        let Slot { sequence, mark } =
            newest.ok_or_else(|| damaged("neither of its two records is whole".to_owned()))?;
        Ok(Some(Self { file, sequence, mark }))
    }

    pub(super) fn create(path: &Path, mark: Mark) -> io::Result<Self> {
        // Both slots, so that raising the mark never needs room that a full disk has not.
        let (slot, empty) = (slot(0, &mark)?, vec![0; SLOT_BYTES]);
        durable_file::write(path, &[slot, empty].concat(), durable_file::PRIVATE)?;
        let file = OpenOptions::new().read(true).write(true).mode(0o600).open(path)?;
        Ok(Self { file, sequence: 0, mark })
    }

    pub(super) fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Returns once `mark` is on the disk.
    pub(super) fn set(&mut self, mark: Mark) -> io::Result<()> {
        if mark == self.mark {
            return Ok(());
        }
        let sequence = self.sequence + 1;
        let at = sequence % SLOTS * SLOT_BYTES as u64;
        self.file.write_all_at(&slot(sequence, &mark)?, at)?;
        self.file.sync_data()?;
        (self.sequence, self.mark) = (sequence, mark);
        Ok(())
    }
}

/// A record and its length, filled up with zeros.
fn slot(sequence: u64, mark: &Mark) -> io::Result<Vec<u8>> {
    let record = record::encode(PLACE, &Slot { sequence, mark: mark.clone() })?;
    let length = u32::try_from(record.len()).map_err(io::Error::other)?;
    let mut bytes = [&length.to_le_bytes()[..], &record].concat();
    if bytes.len() > SLOT_BYTES {
        return Err(io::Error::other("the mark is larger than its slot"));
    }
    bytes.resize(SLOT_BYTES, 0);
    Ok(bytes)
}

/// `None` for a slot that was never written, torn or damaged.
fn read(file: &File, slot: u64) -> io::Result<Option<Slot>> {
    let mut bytes = vec![0; SLOT_BYTES];
    match file.read_exact_at(&mut bytes, slot * SLOT_BYTES as u64) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (length, record) = bytes.split_at(4);
    let length = length.try_into().map(u32::from_le_bytes).map_err(io::Error::other)?;
    Ok(record.get(..length as usize).and_then(|record| record::decode(PLACE, record).ok()))
}
