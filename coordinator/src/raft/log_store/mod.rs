//! Raft's log, vote and commit position in one redb file; what is acknowledged is on the disk.
//!
//! Every record has a checksum, the whole file is checked when it is opened, and a mark beside it
//! says what was answered for: what was acknowledged is there, or opening fails and says why.

mod mark;
mod opening;
mod record;
mod tables;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use redb::{Database, Durability, WriteTransaction};

use self::mark::{Mark, MarkFile};
use self::record::damaged;
use super::type_config::{Entry, LogId, TypeConfig, Vote};
use crate::host;

#[derive(Clone)]
pub(crate) struct LogStore {
    files: Arc<Files>,
}

struct Files {
    /// Taken only by `drop`.
    database: Option<Database>,
    /// None where the medium is simulated.
    mark: Option<Mutex<MarkFile>>,
}

impl LogStore {
    /// Opens the file at `path` and its mark, creating both where there is neither. An error of
    /// kind `InvalidData` says what is damaged.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::with(path, || opening::builder().create(path))
    }

    /// On another medium than a file; its mark is at `path` with another ending.
    #[cfg(test)]
    pub(crate) fn open_on(path: &Path, medium: impl redb::StorageBackend) -> io::Result<Self> {
        Self::with(path, || opening::builder().create_with_backend(medium))
    }

    fn with(
        path: &Path,
        open: impl FnOnce() -> Result<Database, redb::DatabaseError>,
    ) -> io::Result<Self> {
        let (database, mark) = guarded(|| opening::open(path, open))?;
        let files = Files { database: Some(database), mark: Some(Mutex::new(mark)) };
        Ok(Self { files: Arc::new(files) })
    }

    /// Without a mark: what a simulated disk lost is known to who simulates it.
    #[cfg(feature = "testing")]
    pub(crate) fn on(database: Database) -> io::Result<Self> {
        opening::check(&database)?;
        Ok(Self { files: Arc::new(Files { database: Some(database), mark: None }) })
    }

    /// Runs a change on the pool for blocking work: a commit waits for the disk.
    async fn write(
        &self,
        change: impl FnOnce(&Files) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let files = Arc::clone(&self.files);
        host::at_the_disk(move || guarded(|| change(&files))).await?
    }

    async fn remove(
        &self,
        range: (Bound<u64>, Bound<u64>),
        change: impl FnOnce(&Files) -> io::Result<()> + Send + 'static,
        purged: Option<LogId>,
    ) -> io::Result<()> {
        self.write(move |files| {
            change(files)?;
            files.commit(Durability::Immediate, |transaction| {
                if let Some(purged) = purged {
                    tables::put(transaction, tables::PURGED, &purged)?;
                }
                tables::remove_entries(transaction, range)
            })
        })
        .await
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let range = (range.start_bound().cloned(), range.end_bound().cloned());
        guarded(|| tables::entries(self.files.database()?, range))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        guarded(|| tables::get(self.files.database()?, tables::VOTE))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        guarded(|| {
            let database = self.files.database()?;
            let last_purged_log_id: Option<LogId> = tables::get(database, tables::PURGED)?;
            let last_log_id = tables::last_entry(database)?.or(last_purged_log_id);
            Ok(LogState { last_purged_log_id, last_log_id })
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = *vote;
        self.write(move |files| {
            files.commit(Durability::Immediate, |transaction| {
                tables::put(transaction, tables::VOTE, &vote)
            })?;
            files.raise(|mark| mark.vote = Some(vote))
        })
        .await
    }

    /// Not flushed on its own: losing it only means that entries are committed once more.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.write(move |files| {
            files.commit(Durability::None, |transaction| {
                tables::put(transaction, tables::COMMITTED, &committed)
            })
        })
        .await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        let committed =
            guarded(|| tables::get::<Option<LogId>>(self.files.database()?, tables::COMMITTED));
        Ok(committed?.flatten())
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().collect();
        let written = self.write(move |files| {
            files.commit(Durability::Immediate, |transaction| {
                tables::add_entries(transaction, &entries)
            })?;
            files.raise(|mark| mark.last = entries.last().map(|e| e.log_id).or(mark.last))
        });
        let written = written.await;
        let answer = written.as_ref().map_err(|e| io::Error::other(e.to_string())).copied();
        flushed.io_completed(answer);
        written
    }

    /// The mark is lowered first: a crash in between leaves more than it asks for.
    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(Bound::Unbounded, |last| Bound::Excluded(last.index));
        let lower = move |files: &Files| files.raise(|mark| mark.last = last);
        self.remove((from, Bound::Unbounded), lower, None).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.remove((Bound::Unbounded, Bound::Included(upto.index)), |_| Ok(()), Some(upto))
            .await?;
        // A snapshot from the leader may reach beyond the log.
        self.write(move |files| files.raise(|mark| mark.last = mark.last.max(Some(upto)))).await
    }
}

impl Files {
    fn database(&self) -> io::Result<&Database> {
        self.database.as_ref().ok_or_else(|| io::Error::other("the log is closed"))
    }

    fn commit(
        &self,
        durability: Durability,
        change: impl FnOnce(&WriteTransaction) -> io::Result<()>,
    ) -> io::Result<()> {
        tables::commit(self.database()?, durability, change)
    }

    fn raise(&self, change: impl FnOnce(&mut Mark)) -> io::Result<()> {
        let Some(mark) = &self.mark else { return Ok(()) };
        let mut file = mark.lock().unwrap_or_else(PoisonError::into_inner);
        let mut mark = file.mark().clone();
        change(&mut mark);
        file.set(mark)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let database = self.database.take();
        let _ = guarded(|| {
            drop(database);
            Ok(())
        });
    }
}

/// redb may panic over a damaged file: that ends this call, and nothing else.
fn guarded<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(damaged(format!("redb gave up over its content: {text}")))
    })
}
