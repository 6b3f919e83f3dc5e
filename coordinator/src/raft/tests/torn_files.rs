//! Files of a log and its snapshot that were cut, bent or zeroed: opening finds everything that
//! was acknowledged, or says what is wrong.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use openraft::RaftLogReader;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::testing::log_id;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::raft::log_store::LogStore;
use crate::raft::snapshot::{SnapshotFile, StoredSnapshot};
use crate::raft::type_config::{Entry, SnapshotMeta, TypeConfig, Vote, VoterId};
use crate::state::{Change, Command, State, Timestamp};

const LOG: &str = "raft.redb";
const MARK: &str = "raft.mark";

pub(super) fn entry(term: u64, index: u64) -> Entry {
    let change = Change::RemoveNode {
        node: protocol::ids::NodeId([index as u8; 32]),
        operation: format!("operation {index} {}", "x".repeat(index as usize * 37 % 900)),
    };
    let command = Command::new(Timestamp(index), change);
    Entry {
        log_id: log_id::<TypeConfig>(term, VoterId::from(1), index),
        payload: openraft::EntryPayload::Normal(command),
    }
}

/// What was acknowledged of a log.
#[derive(Clone, Debug, Default)]
pub(super) struct Acknowledged {
    pub(super) vote: Option<Vote>,
    pub(super) entries: Vec<Entry>,
}

impl Acknowledged {
    /// Everything is there; more may be.
    pub(super) async fn is_in(&self, log: &mut LogStore) -> Result<(), String> {
        let vote = log.read_vote().await.map_err(|e| format!("the vote: {e}"))?;
        if vote < self.vote {
            return Err(format!("voted {:?}, found {vote:?}", self.vote));
        }
        let found = log.try_get_log_entries(..).await.map_err(|e| format!("the entries: {e}"))?;
        match self.entries.iter().find(|entry| !found.contains(entry)) {
            Some(entry) => Err(format!("entry {} is gone", entry.log_id.index)),
            None => Ok(()),
        }
    }
}

/// A log as its coordinator leaves it at a crash, or `closed` in order.
async fn written(folder: &Path, closed: bool) -> Acknowledged {
    let live = tempfile::tempdir().expect("a folder");
    let mut log = LogStore::open(&live.path().join(LOG)).expect("a new log");
    let mut acknowledged = Acknowledged::default();
    for term in 1..=3 {
        let vote = Vote::new(term, VoterId::from(1));
        log.save_vote(&vote).await.expect("a vote");
        acknowledged.vote = Some(vote);
    }
    for round in 0..30 {
        let entries: Vec<_> = (round * 3..round * 3 + 3).map(|i| entry(3, i)).collect();
        log.blocking_append(entries.clone()).await.expect("appended");
        acknowledged.entries.extend(entries);
    }
    let committed = acknowledged.entries[40].log_id;
    log.save_committed(Some(committed)).await.expect("saved");
    log.purge(acknowledged.entries[9].log_id).await.expect("purged");
    acknowledged.entries.drain(..10);
    log.truncate_after(Some(entry(3, 84).log_id)).await.expect("truncated");
    acknowledged.entries.retain(|entry| entry.log_id.index <= 84);
    for index in 85..90 {
        log.blocking_append([entry(4, index)]).await.expect("appended");
        acknowledged.entries.push(entry(4, index));
    }
    if closed {
        drop(log);
    }
    for name in [LOG, MARK] {
        fs::copy(live.path().join(name), folder.join(name)).expect("copied");
    }
    acknowledged
}

/// One fault of a medium.
fn damage(bytes: &mut Vec<u8>, random: &mut StdRng) -> String {
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..4) {
        0 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        1 => {
            bytes[at] ^= 1 << random.random_range(0..8);
            format!("a bit of byte {at} flipped")
        }
        2 => {
            bytes[at] = random.random();
            // The first page holds what says which commit is the newest.
            let head = random.random_range(0..bytes.len().min(320));
            bytes[head] ^= 1 << random.random_range(0..8);
            format!("byte {at} overwritten, a bit of byte {head} flipped")
        }
        _ => {
            let page = at / 4096 * 4096;
            let end = bytes.len().min(page + 4096);
            bytes[page..end].fill(0);
            format!("page at {page} zeroed")
        }
    }
}

fn open_damaged(folder: &Path) -> io::Result<LogStore> {
    let opened = catch_unwind(AssertUnwindSafe(|| LogStore::open(&folder.join(LOG))));
    opened.expect("opening never panics")
}

/// Counts the trials that opened.
async fn try_damages(file: &str, trials: u64, closed: bool) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let acknowledged = written(folder.path(), closed).await;
    let images = [LOG, MARK].map(|name| fs::read(folder.path().join(name)).expect("readable"));
    let mut opened = 0;
    for seed in 0..trials {
        let mut random = StdRng::seed_from_u64(seed);
        for (name, image) in [LOG, MARK].iter().zip(&images) {
            fs::write(folder.path().join(name), image).expect("written");
        }
        let path = folder.path().join(file);
        let mut bytes = fs::read(&path).expect("readable");
        let what = damage(&mut bytes, &mut random);
        fs::write(&path, bytes).expect("written");
        match open_damaged(folder.path()) {
            Ok(mut log) => {
                opened += 1;
                let whole = acknowledged.is_in(&mut log).await;
                whole.unwrap_or_else(|e| panic!("{file}, seed {seed}, {what}: opened, but {e}"));
            }
            Err(error) => {
                assert!(error.to_string().len() > 10, "{file}, seed {seed}, {what}: {error}");
                let kind = error.kind();
                assert_eq!(kind, io::ErrorKind::InvalidData, "seed {seed}, {what}: {error}");
            }
        }
    }
    opened
}

#[tokio::test]
async fn a_damaged_log_holds_all_that_was_acknowledged_or_says_what_is_wrong() {
    for closed in [false, true] {
        let opened = try_damages(LOG, 60, closed).await;
        assert!(opened < 60, "no damage was noticed");
        let opened = try_damages(MARK, 60, closed).await;
        assert!(opened > 0, "one of the mark's two records is enough");
    }
}

#[tokio::test]
#[ignore = "long: thousands of damaged files"]
async fn thousands_of_damaged_logs_hold_all_that_was_acknowledged_or_say_what_is_wrong() {
    for closed in [false, true] {
        for file in [LOG, MARK] {
            try_damages(file, share(5000), closed).await;
        }
    }
}

/// All of a long test, or a tenth.
#[allow(clippy::disallowed_methods, reason = "tests have no argument parser")]
pub(super) fn share(full: u64) -> u64 {
    match std::env::var("TRIREME_TEST_SHARE").as_deref() {
        Ok("full") => full,
        _ => full.div_ceil(10),
    }
}

#[tokio::test]
async fn a_log_that_was_deleted_or_put_back_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(LOG);
    let mut log = LogStore::open(&path).expect("a new log");
    log.save_vote(&Vote::new(1, VoterId::from(1))).await.expect("a vote");
    log.blocking_append([entry(1, 0), entry(1, 1)]).await.expect("appended");
    let early = fs::read(&path).expect("readable");
    log.blocking_append([entry(1, 2)]).await.expect("appended");
    let early_vote = log.read_vote().await.expect("readable");
    drop(log);
    let refused = |bytes: Option<&[u8]>| {
        fs::remove_file(&path).expect("removed");
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).expect("written");
        }
        LogStore::open(&path).err().expect("refused").to_string()
    };
    let said = refused(Some(&early));
    assert!(said.contains("entry 2 was acknowledged, the log ends at 1"), "{said}");
    let said = refused(None);
    assert!(said.contains("vote"), "{said}");
    assert_eq!(early_vote, Some(Vote::new(1, VoterId::from(1))));
    fs::write(&path, &early).expect("written");
    fs::remove_file(path.with_extension("mark")).expect("removed");
    let said = LogStore::open(&path).err().expect("refused").to_string();
    assert!(said.contains("raft.mark, is missing"), "{said}");
}

#[tokio::test]
async fn a_log_of_format_1_is_read_and_protected_from_then_on() {
    use redb::{Database, TableDefinition};
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(LOG);
    let vote = Vote::new(2, VoterId::from(1));
    let entries: Vec<_> = (0..3).map(|index| entry(2, index)).collect();
    let old = Database::create(&path).expect("a database");
    let write = old.begin_write().expect("a transaction");
    {
        let json = |value: &serde_json::Value| serde_json::to_vec(value).expect("JSON");
        let table = TableDefinition::<u64, &[u8]>::new("log");
        let mut log = write.open_table(table).expect("a table");
        for entry in &entries {
            let bytes = json(&serde_json::to_value(entry).expect("JSON"));
            log.insert(entry.log_id.index, bytes.as_slice()).expect("inserted");
        }
        let mut meta =
            write.open_table(TableDefinition::<&str, &[u8]>::new("meta")).expect("a table");
        meta.insert("version", b"1".as_slice()).expect("inserted");
        let bytes = json(&serde_json::to_value(vote).expect("JSON"));
        meta.insert("vote", bytes.as_slice()).expect("inserted");
    }
    write.commit().expect("committed");
    drop(old);
    let acknowledged = Acknowledged { vote: Some(vote), entries };
    for _ in 0..2 {
        let mut log = LogStore::open(&path).expect("it opens");
        acknowledged.is_in(&mut log).await.expect("all is there");
    }
    assert!(path.with_extension("mark").exists());
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_one_of_format_1_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("snapshot.json");
    let file = SnapshotFile::at(&path);
    let mut state = State::default();
    state.cluster = "lab".into();
    let state = Arc::new(state);
    let stored = StoredSnapshot { meta: SnapshotMeta::default(), state };
    file.save(stored.clone()).await.expect("saved");
    let whole = fs::read(&path).expect("readable");
    assert_eq!(file.load().expect("whole").expect("there").state, stored.state);
    for seed in 0..200 {
        let mut bytes = whole.clone();
        let what = damage(&mut bytes, &mut StdRng::seed_from_u64(seed));
        if bytes == whole {
            continue;
        }
        fs::write(&path, bytes).expect("written");
        let refused = file.load().expect_err(&what);
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{what}: {refused}");
    }
    let text = String::from_utf8(whole).expect("text");
    let json = text.split_once('\n').expect("two parts").1;
    fs::write(&path, json.replacen("\"format\":2", "\"format\":1", 1)).expect("written");
    assert_eq!(file.load().expect("format 1").expect("there").state, stored.state);
}
