//! Raft's log, vote and commit position in one redb file; what is acknowledged is on the disk.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::type_config::{Entry, LogId, TypeConfig, Vote};
use crate::host;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const VOTE: &str = "vote";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";
const VERSION: &str = "version";
/// Of the entries' encoding (JSON) and the tables; a newer file is refused, not misread.
const FORMAT: u32 = 1;

#[derive(Clone)]
pub(crate) struct LogStore {
    database: Arc<Database>,
}

impl LogStore {
    /// Opens the file at `path`, creating it when it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => {
                io::Error::new(io::ErrorKind::WouldBlock, "another coordinator has it open")
            }
            other => io::Error::other(other),
        })?;
        Self::on(database)
    }

    pub(crate) fn on(database: Database) -> io::Result<Self> {
        let store = Self { database: Arc::new(database) };
        store.write_now(Durability::Immediate, |transaction| {
            transaction.open_table(LOG).map_err(io::Error::other)?;
            let mut meta = transaction.open_table(META).map_err(io::Error::other)?;
            let found = meta.get(VERSION).map_err(io::Error::other)?.map(|v| decode(v.value()));
            match found.transpose()? {
                None => put(&mut meta, VERSION, &FORMAT),
                Some(FORMAT) => Ok(()),
                Some(found) => {
                    let found: u32 = found;
                    Err(io::Error::other(format!(
                        "the log's format is {found}, this version reads {FORMAT}"
                    )))
                }
            }
        })?;
        Ok(store)
    }

    fn write_now(
        &self,
        durability: Durability,
        change: impl FnOnce(&WriteTransaction) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut transaction = self.database.begin_write().map_err(io::Error::other)?;
        transaction.set_durability(durability).map_err(io::Error::other)?;
        change(&transaction)?;
        transaction.commit().map_err(io::Error::other)
    }

    /// Runs a change on the pool for blocking work: a commit waits for the disk.
    async fn write(
        &self,
        durability: Durability,
        change: impl FnOnce(&WriteTransaction) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let store = self.clone();
        host::at_the_disk(move || store.write_now(durability, change)).await?
    }

    async fn save<T: Serialize>(
        &self,
        durability: Durability,
        key: &'static str,
        value: &T,
    ) -> io::Result<()> {
        let bytes = encode(value)?;
        self.write(durability, move |transaction| {
            let mut meta = transaction.open_table(META).map_err(io::Error::other)?;
            meta.insert(key, bytes.as_slice()).map_err(io::Error::other)?;
            Ok(())
        })
        .await
    }

    fn load<T: DeserializeOwned>(&self, key: &str) -> io::Result<Option<T>> {
        let transaction = self.database.begin_read().map_err(io::Error::other)?;
        let meta = transaction.open_table(META).map_err(io::Error::other)?;
        let found = meta.get(key).map_err(io::Error::other)?;
        found.map(|value| decode(value.value())).transpose()
    }

    fn entries(&self, range: (Bound<u64>, Bound<u64>)) -> io::Result<Vec<Entry>> {
        let transaction = self.database.begin_read().map_err(io::Error::other)?;
        let log = transaction.open_table(LOG).map_err(io::Error::other)?;
        let rows = log.range::<u64>(range).map_err(io::Error::other)?;
        rows.map(|row| decode(row.map_err(io::Error::other)?.1.value())).collect()
    }

    fn last_entry(&self) -> io::Result<Option<LogId>> {
        let transaction = self.database.begin_read().map_err(io::Error::other)?;
        let log = transaction.open_table(LOG).map_err(io::Error::other)?;
        let last = log.last().map_err(io::Error::other)?;
        last.map(|(_, entry)| decode::<Entry>(entry.value()).map(|e| e.log_id)).transpose()
    }

    async fn remove(
        &self,
        range: (Bound<u64>, Bound<u64>),
        purged: Option<LogId>,
    ) -> io::Result<()> {
        self.write(Durability::Immediate, move |transaction| {
            if let Some(purged) = purged {
                let mut meta = transaction.open_table(META).map_err(io::Error::other)?;
                put(&mut meta, PURGED, &purged)?;
            }
            let mut log = transaction.open_table(LOG).map_err(io::Error::other)?;
            log.retain_in::<u64, _>(range, |_, _| false).map_err(io::Error::other)
        })
        .await
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.entries((range.start_bound().cloned(), range.end_bound().cloned()))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.load(VOTE)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let last_purged_log_id: Option<LogId> = self.load(PURGED)?;
        let last_log_id = self.last_entry()?.or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.save(Durability::Immediate, VOTE, vote).await
    }

    /// Not flushed on its own: losing it only means that entries are committed once more.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.save(Durability::None, COMMITTED, &committed).await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.load::<Option<LogId>>(COMMITTED)?.flatten())
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut rows = Vec::new();
        for entry in entries {
            rows.push((entry.log_id.index, encode(&entry)?));
        }
        let written = self.write(Durability::Immediate, move |transaction| {
            let mut log = transaction.open_table(LOG).map_err(io::Error::other)?;
            for (index, bytes) in &rows {
                log.insert(index, bytes.as_slice()).map_err(io::Error::other)?;
            }
            Ok(())
        });
        let written = written.await;
        let answer = written.as_ref().map_err(|e| io::Error::other(e.to_string())).copied();
        flushed.io_completed(answer);
        written
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(Bound::Unbounded, |last| Bound::Excluded(last.index));
        self.remove((from, Bound::Unbounded), None).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.remove((Bound::Unbounded, Bound::Included(upto.index)), Some(upto)).await
    }
}

fn put<T: Serialize>(
    table: &mut redb::Table<'_, &'static str, &'static [u8]>,
    key: &'static str,
    value: &T,
) -> io::Result<()> {
    table.insert(key, encode(value)?.as_slice()).map_err(io::Error::other)?;
    Ok(())
}

fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(io::Error::other)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(io::Error::other)
}
