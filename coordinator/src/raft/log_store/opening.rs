//! Opening the log: every page and record is checked, and the whole against its mark.

use std::io;
use std::ops::Bound;
use std::path::Path;

use redb::{
    Builder, Database, DatabaseError, Durability, ReadableTable, StorageError, WriteTransaction,
};

use super::mark::{Mark, MarkFile};
use super::record::{self, damaged};
use super::tables::{self, COMMITTED, LOG, META, PURGED, VOTE};
use crate::raft::type_config::{Entry, LogId, Vote};

/// Stands outside the records' encoding, which depends on it.
const VERSION: &str = "version";
/// Of the entries' encoding (JSON behind a checksum) and the tables; a newer file is refused, not
/// misread. Format 1 had no checksums and no mark.
const FORMAT: &[u8] = b"2";
const FORMAT_1: &[u8] = b"1";
/// There until the mark is: without it, a missing mark is one that was lost.
const UNMARKED: &str = "unmarked";

/// Looks at every page before any is trusted.
pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_check_integrity_on_open(true);
    builder
}

pub(super) fn open(
    path: &Path,
    open: impl FnOnce() -> Result<Database, DatabaseError>,
) -> io::Result<(Database, MarkFile)> {
    let mark_path = path.with_extension("mark");
    let mark = MarkFile::open(&mark_path).map_err(|e| in_mark(&mark_path, &e))?;
    let database = open().map_err(of_redb)?;
    let found = check(&database)?;
    let is_unmarked = tables::get::<bool>(&database, UNMARKED)?.is_some();
    let mark = match mark {
        Some(mark) => {
            found.reaches(mark.mark(), &database)?;
            mark
        }
        None if is_unmarked => {
            MarkFile::create(&mark_path, Mark { vote: found.vote, last: found.last })?
        }
        None => return Err(damaged(format!("its mark, {}, is missing", mark_path.display()))),
    };
    if is_unmarked {
        tables::commit(&database, Durability::Immediate, |transaction| {
            let mut meta = transaction.open_table(META).map_err(io::Error::other)?;
            meta.remove(UNMARKED).map(drop).map_err(io::Error::other)
        })?;
    }
    Ok((database, mark))
}

/// What the log holds, in this version's format and whole.
pub(super) fn check(database: &Database) -> io::Result<Found> {
    tables::commit(database, Durability::Immediate, |transaction| {
        transaction.open_table(LOG).map_err(io::Error::other)?;
        transaction.open_table(META).map_err(io::Error::other)?;
        adopt_format(transaction)
    })?;
    Found::read(database)
}

fn in_mark(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("its mark, {}: {error}", path.display()))
}

/// A full or unreadable disk says nothing about the content, a file that ends too early does.
fn of_redb(error: DatabaseError) -> io::Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            io::Error::new(io::ErrorKind::WouldBlock, "another coordinator has it open")
        }
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() != io::ErrorKind::UnexpectedEof =>
        {
            error
        }
        other => damaged(other.to_string()),
    }
}

/// A new file gets this version's format, one of format 1 is rewritten.
fn adopt_format(transaction: &WriteTransaction) -> io::Result<()> {
    let mut meta = transaction.open_table(META).map_err(io::Error::other)?;
    let found = meta.get(VERSION).map_err(io::Error::other)?.map(|v| v.value().to_vec());
    match found.as_deref() {
        Some(FORMAT) => return Ok(()),
        Some(FORMAT_1) => {
            for key in [VOTE, COMMITTED, PURGED] {
                let json = meta.get(key).map_err(io::Error::other)?.map(|v| v.value().to_vec());
                let Some(json) = json else { continue };
                let sealed = record::sealed(key.as_bytes(), &json);
                meta.insert(key, sealed.as_slice()).map_err(io::Error::other)?;
            }
            seal_entries(transaction)?;
        }
        None => {}
        Some(other) => {
            let (found, read) = (String::from_utf8_lossy(other), String::from_utf8_lossy(FORMAT));
            let message = format!("its format is {found}, this version reads {read}");
            return Err(io::Error::other(message));
        }
    }
    meta.insert(VERSION, FORMAT).map_err(io::Error::other)?;
    let unmarked = record::encode(UNMARKED.as_bytes(), &true)?;
    meta.insert(UNMARKED, unmarked.as_slice()).map_err(io::Error::other)?;
    Ok(())
}

fn seal_entries(transaction: &WriteTransaction) -> io::Result<()> {
    let mut log = transaction.open_table(LOG).map_err(io::Error::other)?;
    let rows: Vec<_> = log
        .iter()
        .map_err(io::Error::other)?
        .map(|row| row.map(|(index, json)| (index.value(), json.value().to_vec())))
        .collect::<Result<_, _>>()
        .map_err(io::Error::other)?;
    for (index, json) in rows {
        let sealed = record::sealed(&index.to_be_bytes(), &json);
        log.insert(index, sealed.as_slice()).map_err(io::Error::other)?;
    }
    Ok(())
}

/// What a log holds that is whole in itself.
pub(super) struct Found {
    vote: Option<Vote>,
    last: Option<LogId>,
}

impl Found {
    fn read(database: &Database) -> io::Result<Self> {
        let purged: Option<LogId> = tables::get(database, PURGED)?;
        let committed: Option<LogId> = tables::get(database, COMMITTED)?.flatten();
        let entries = tables::entries(database, (Bound::Unbounded, Bound::Unbounded))?;
        let last = follow(purged, &entries)?;
        if let Some(committed) = committed.filter(|committed| Some(*committed) > last) {
            let end = last.map_or("holds none".to_owned(), |l| format!("ends at {}", l.index));
            let message = format!("entry {} was committed, the log {end}", committed.index);
            return Err(damaged(message));
        }
        Ok(Self { vote: tables::get(database, VOTE)?, last })
    }

    /// Whether everything is there that was answered for.
    fn reaches(&self, mark: &Mark, database: &Database) -> io::Result<()> {
        if self.vote.partial_cmp(&mark.vote).is_none_or(|order| order.is_lt()) {
            return Err(damaged("the vote that this coordinator last gave is not in it".into()));
        }
        let Some(acknowledged) = mark.last else { return Ok(()) };
        let index = acknowledged.index;
        let Some(last) = self.last.filter(|last| last.index >= index) else {
            let end = self.last.map_or("is empty".to_owned(), |l| format!("ends at {}", l.index));
            return Err(damaged(format!("entry {index} was acknowledged, the log {end}")));
        };
        let at = (Bound::Included(index), Bound::Included(index));
        let held = tables::entries(database, at)?.pop().map_or(last, |entry| entry.log_id);
        if held.index == index && held != acknowledged {
            return Err(damaged(format!("entry {index} is not the one that was acknowledged")));
        }
        Ok(())
    }
}

/// The last position, if each entry follows the one before.
fn follow(purged: Option<LogId>, entries: &[Entry]) -> io::Result<Option<LogId>> {
    let mut last = purged;
    for entry in entries {
        let id = entry.log_id;
        let expected = last.map_or(0, |last| last.index + 1);
        if id.index != expected {
            let message = format!("entry {expected} is missing, {} comes next", id.index);
            return Err(damaged(message));
        }
        if Some(id) < last {
            return Err(damaged(format!("entry {} is of an older term than before it", id.index)));
        }
        last = Some(id);
    }
    Ok(last)
}
