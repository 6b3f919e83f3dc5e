//! A power cut in the middle of writing: of what was not synced any part may be lost or torn.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::torn_files::{Acknowledged, entry, share};
use crate::raft::log_store::LogStore;
use crate::raft::type_config::{Vote, VoterId};

/// A disk in memory that stops working after some writes.
#[derive(Clone, Debug)]
struct Medium {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    synced: Vec<u8>,
    current: Vec<u8>,
    /// Since the last sync, oldest first.
    pending: Vec<Pending>,
    writes_left: usize,
}

#[derive(Clone, Debug)]
enum Pending {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl Medium {
    fn new(content: Vec<u8>, writes_left: usize) -> Self {
        let disk = Disk { current: content.clone(), synced: content, writes_left, pending: vec![] };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    fn working(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk.lock().expect("no panic");
        match disk.writes_left {
            0 => Err(io::Error::other("the power is gone")),
            _ => Ok(disk),
        }
    }

    /// What is found on the disk when the power is back.
    fn after_power_cut(&self, random: &mut StdRng) -> Vec<u8> {
        let disk = self.disk.lock().expect("no panic");
        let mut found = disk.synced.clone();
        for pending in &disk.pending {
            if random.random_bool(0.4) {
                continue;
            }
            let mut pending = pending.clone();
            if let Pending::Write { data, .. } = &mut pending
                && random.random_bool(0.3)
            {
                data.truncate(random.random_range(0..=data.len()));
            }
            pending.apply(&mut found);
        }
        found
    }
}

impl Pending {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(*length, 0),
            Self::Write { offset, data } => {
                let end = offset + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(data);
            }
        }
    }
}

impl redb::StorageBackend for Medium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().expect("no panic").current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.disk.lock().expect("no panic");
        let from = offset as usize;
        let bytes = disk.current.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut disk = self.working()?;
        let change = Pending::Length(length as usize);
        change.apply(&mut disk.current);
        disk.pending.push(change);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.working()?;
        disk.synced = disk.current.clone();
        disk.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.working()?;
        disk.writes_left -= 1;
        let change = Pending::Write { offset: offset as usize, data: data.to_vec() };
        change.apply(&mut disk.current);
        disk.pending.push(change);
        Ok(())
    }
}

/// Votes, appends, truncates and purges until the disk fails; what was acknowledged by then.
async fn work(log: &mut LogStore, known: &mut Acknowledged, random: &mut StdRng) {
    let mut term = known.vote.map_or(1, |vote| vote.leader_id.term + 1);
    let mut committed = match log.read_committed().await {
        Ok(known) => known.map_or(0, |id| id.index + 1),
        Err(_) => return,
    };
    // As a new leader's entries do with those that nobody answered for.
    if log.truncate_after(known.entries.last().map(|e| e.log_id)).await.is_err() {
        return;
    }
    for _ in 0..60 {
        let last = known.entries.last().map(|e| e.log_id);
        let next = last.map_or(0, |id| id.index + 1);
        let done = match random.random_range(0..10) {
            0 => {
                term += 1;
                let vote = Vote::new(term, VoterId::from(1));
                let saved = log.save_vote(&vote).await.is_ok();
                known.vote = if saved { Some(vote) } else { known.vote };
                saved
            }
            1 if next > committed + 2 => {
                let keep = known.entries.iter().rfind(|e| e.log_id.index < next - 2).cloned();
                let Some(keep) = keep else { continue };
                // From here on the rest is not asked for any more, whether it is removed or not.
                known.entries.retain(|e| e.log_id <= keep.log_id);
                log.truncate_after(Some(keep.log_id)).await.is_ok()
            }
            2 if known.entries.len() > 8 => {
                let upto = known.entries[2].log_id;
                known.entries.retain(|e| e.log_id > upto);
                log.purge(upto).await.is_ok()
            }
            3 if last.is_some() => {
                committed = next;
                log.save_committed(last).await.is_ok()
            }
            _ => {
                let count = random.random_range(1..4);
                let entries: Vec<_> = (next..next + count).map(|i| entry(term, i)).collect();
                let appended = log.blocking_append(entries.clone()).await.is_ok();
                known.entries.extend(entries.into_iter().filter(|_| appended));
                appended
            }
        };
        if !done {
            return;
        }
    }
}

async fn power_cuts(seeds: u64) {
    for seed in 0..seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("raft.redb");
        let mut content = Vec::new();
        let mut known = Acknowledged::default();
        for life in 0..3 {
            // The first opening is spared: a founding that fails is simply repeated.
            let writes = if life == 0 { 60 } else { 0 } + random.random_range(1..120);
            let medium = Medium::new(content, writes);
            let opened = LogStore::open_on(&path, medium.clone());
            match opened {
                Ok(mut log) => {
                    let whole = known.is_in(&mut log).await;
                    whole.unwrap_or_else(|e| panic!("seed {seed}, life {life}: {e}"));
                    work(&mut log, &mut known, &mut random).await;
                }
                // Recovery writes, too.
                Err(error) => {
                    let said = error.to_string();
                    assert!(said.contains("power"), "seed {seed}, life {life}: {said}");
                }
            }
            content = medium.after_power_cut(&mut random);
        }
        let whole = LogStore::open_on(&path, Medium::new(content, usize::MAX));
        let mut log = whole.unwrap_or_else(|e| panic!("seed {seed}: refused: {e}"));
        let whole = known.is_in(&mut log).await;
        whole.unwrap_or_else(|e| panic!("seed {seed}, at last: {e}"));
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_power_cuts_in_the_middle_of_writes() {
    power_cuts(40).await;
}

#[tokio::test]
#[ignore = "long: thousands of power cuts"]
async fn what_was_acknowledged_survives_thousands_of_power_cuts() {
    power_cuts(share(5000)).await;
}
