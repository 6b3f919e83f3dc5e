//! The tables of the log's redb file, and what is read from and put into them.

use std::io;
use std::ops::Bound;

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::{self, damaged};
use crate::raft::type_config::{Entry, LogId};

pub(super) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const VOTE: &str = "vote";
pub(super) const COMMITTED: &str = "committed";
pub(super) const PURGED: &str = "purged";

pub(super) fn commit(
    database: &Database,
    durability: Durability,
    change: impl FnOnce(&WriteTransaction) -> io::Result<()>,
) -> io::Result<()> {
    let mut transaction = database.begin_write().map_err(io::Error::other)?;
    transaction.set_durability(durability).map_err(io::Error::other)?;
    change(&transaction)?;
    transaction.commit().map_err(io::Error::other)
}

pub(super) fn put<T: Serialize>(
    transaction: &WriteTransaction,
    key: &'static str,
    value: &T,
) -> io::Result<()> {
    let bytes = record::encode(key.as_bytes(), value)?;
    let mut meta = transaction.open_table(META).map_err(io::Error::other)?;
    meta.insert(key, bytes.as_slice()).map_err(io::Error::other)?;
    Ok(())
}

pub(super) fn get<T: DeserializeOwned>(database: &Database, key: &str) -> io::Result<Option<T>> {
    let transaction = database.begin_read().map_err(io::Error::other)?;
    let meta = transaction.open_table(META).map_err(io::Error::other)?;
    let found = meta.get(key).map_err(io::Error::other)?;
    found.map(|v| record::decode(key.as_bytes(), v.value()).map_err(|e| of(key, &e))).transpose()
}

pub(super) fn add_entries(transaction: &WriteTransaction, entries: &[Entry]) -> io::Result<()> {
    let mut log = transaction.open_table(LOG).map_err(io::Error::other)?;
    for entry in entries {
        let index = entry.log_id.index;
        let bytes = record::encode(&index.to_be_bytes(), entry)?;
        log.insert(index, bytes.as_slice()).map_err(io::Error::other)?;
    }
    Ok(())
}

pub(super) fn remove_entries(
    transaction: &WriteTransaction,
    range: (Bound<u64>, Bound<u64>),
) -> io::Result<()> {
    let mut log = transaction.open_table(LOG).map_err(io::Error::other)?;
    log.retain_in::<u64, _>(range, |_, _| false).map_err(io::Error::other)
}

pub(super) fn entries(
    database: &Database,
    range: (Bound<u64>, Bound<u64>),
) -> io::Result<Vec<Entry>> {
    let transaction = database.begin_read().map_err(io::Error::other)?;
    let log = transaction.open_table(LOG).map_err(io::Error::other)?;
    let rows = log.range::<u64>(range).map_err(io::Error::other)?;
    rows.map(|row| {
        let (index, bytes) = row.map_err(io::Error::other)?;
        entry(index.value(), bytes.value())
    })
    .collect()
}

pub(super) fn last_entry(database: &Database) -> io::Result<Option<LogId>> {
    let transaction = database.begin_read().map_err(io::Error::other)?;
    let log = transaction.open_table(LOG).map_err(io::Error::other)?;
    let last = log.last().map_err(io::Error::other)?;
    last.map(|(index, bytes)| entry(index.value(), bytes.value()).map(|e| e.log_id)).transpose()
}

fn entry(index: u64, bytes: &[u8]) -> io::Result<Entry> {
    let at = format!("entry {index}");
    let entry: Entry =
        record::decode(&index.to_be_bytes(), bytes).map_err(|error| of(&at, &error))?;
    match entry.log_id.index == index {
        true => Ok(entry),
        false => Err(damaged(format!("{at} says that it is entry {}", entry.log_id.index))),
    }
}

fn of(what: &str, error: &io::Error) -> io::Error {
    damaged(format!("{what}: {error}"))
}
