//! Fetching what is missing from nodes that hold it: verified, recorded, resumed after a cut.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use checkpoint::Manifest;
use protocol::ids::{Digest, NodeId};
use protocol::stream::WeightRequest;

use super::WeightStore;
use super::error::WeightStoreError;
use super::free_space;
use super::holder_stream::{HolderFault, HolderStream, Peers};
use super::model::{Model, Weights};

/// Chunks of one request: at most 32 MiB between two records of progress on disk.
const RUN_CHUNKS: u32 = 8;
/// Requests under way: the holder reads the second while the first is on the wire.
const RUNS_UNDER_WAY: usize = 2;
/// Times that one chunk may come corrupt.
const CORRUPT_MAX: u32 = 3;
/// Rounds over all holders without a single new chunk.
const FRUITLESS_ROUNDS_MAX: u32 = 3;
const ROUND_PAUSE: Duration = Duration::from_millis(300);

/// Told bytes that are here and bytes that are wanted.
pub(super) type Report<'a> = &'a mut (dyn FnMut(u64, u64) + Send);

impl WeightStore {
    /// A model's manifest, from here or from the first holder that has it.
    pub async fn ensure_manifest<P: Peers>(
        &self,
        digest: Digest,
        holders: &[NodeId],
        peers: &P,
    ) -> Result<Arc<Manifest>, WeightStoreError> {
        if let Ok(manifest) = self.manifest(digest) {
            return Ok(manifest);
        }
        let what = format!("manifest {}", digest.short());
        let bytes = fetch_blob(digest, &what, holders, peers).await?;
        let manifest = Manifest::decode(&bytes)?;
        self.put_blob(&bytes)?;
        self.add(digest, manifest)
    }

    /// Brings `chunks` of a model here, from the holders in their order; what is here already is
    /// not fetched again. May be dropped at any point: the next call goes on where this one was.
    pub async fn ensure<P: Peers>(
        &self,
        manifest: &Manifest,
        chunks: &[u32],
        holders: &[NodeId],
        peers: &P,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<(), WeightStoreError> {
        let model = self.model(manifest.digest()?)?;
        let wanted = chunks.iter().map(|index| model.chunk(*index).map(|chunk| chunk.bytes));
        let total: u64 = wanted.sum::<Result<_, _>>()?;
        if let Weights::Imported(_) = &model.weights {
            // Nothing to fetch; a changed file is said here rather than in the middle of loading.
            model.open_files()?;
            progress(total, total);
            return Ok(());
        }
        let _one_at_a_time = model.fetching.lock().await;
        let missing = missing(&model, chunks);
        let needed = bytes_of(&model, &missing);
        free_space::check(&self.folder, needed)?;
        let mut fetch = Fetch {
            done: total - needed,
            total,
            corrupt: BTreeMap::new(),
            last_fault: "no holder is known".to_owned(),
            model: Arc::clone(&model),
            progress,
        };
        (fetch.progress)(fetch.done, total);
        fetch.run(chunks, holders, peers).await
    }
}

/// One `ensure` under way.
struct Fetch<'a> {
    model: Arc<Model>,
    done: u64,
    total: u64,
    /// How often each chunk came corrupt.
    corrupt: BTreeMap<u32, u32>,
    last_fault: String,
    progress: Report<'a>,
}

impl Fetch<'_> {
    async fn run<P: Peers>(
        &mut self,
        chunks: &[u32],
        holders: &[NodeId],
        peers: &P,
    ) -> Result<(), WeightStoreError> {
        let mut fruitless = 0;
        loop {
            let before = self.done;
            let mut not_held = 0;
            for node in holders {
                let missing = missing(&self.model, chunks);
                if missing.is_empty() {
                    return Ok(());
                }
                match self.take_from(*node, &missing, peers).await? {
                    Ok(()) => {}
                    Err(HolderFault::NotHeld) => not_held += 1,
                    Err(HolderFault::Lost(reason)) => {
                        tracing::warn!(holder = %node.short(), %reason, "fetching interrupted");
                        self.last_fault = format!("node {}: {reason}", node.short());
                    }
                }
            }
            if missing(&self.model, chunks).is_empty() {
                return Ok(());
            }
            fruitless = if self.done > before { 0 } else { fruitless + 1 };
            if fruitless > 0 && not_held == holders.len() && not_held > 0 {
                return Err(not_held_by(&self.what(), holders));
            }
            if fruitless == FRUITLESS_ROUNDS_MAX || holders.is_empty() {
                let (what, reason) = (self.what(), self.last_fault.clone());
                return Err(WeightStoreError::Interrupted { what, reason });
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    }

    /// Takes what one holder gives. The outer error ends the fetch, the inner one this holder.
    async fn take_from<P: Peers>(
        &mut self,
        node: NodeId,
        missing: &[u32],
        peers: &P,
    ) -> Result<Result<(), HolderFault>, WeightStoreError> {
        let mut stream = match HolderStream::open(peers, node).await {
            Ok(stream) => stream,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut waiting: VecDeque<Run> = runs(missing).into();
        let mut asked = VecDeque::new();
        loop {
            while asked.len() < RUNS_UNDER_WAY
                && let Some(run) = waiting.pop_front()
            {
                if let Err(fault) = stream.ask(&self.request(run)).await {
                    return Ok(Err(fault));
                }
                asked.push_back(run);
            }
            let Some(run) = asked.pop_front() else { return Ok(Ok(())) };
            let (stored, fault) = self.receive(&mut stream, run, node).await?;
            self.record(stored).await?;
            if let Some(fault) = fault {
                return Ok(Err(fault));
            }
        }
    }

    /// The pieces of one run, each checked and written; stops at the first fault of the holder.
    async fn receive(
        &mut self,
        stream: &mut HolderStream,
        run: Run,
        node: NodeId,
    ) -> Result<(Vec<u32>, Option<HolderFault>), WeightStoreError> {
        let mut stored = Vec::new();
        for expected in run.first..run.first + run.count {
            let bytes = match stream.next_chunk().await {
                Ok((index, bytes)) if index == expected => bytes,
                Ok((index, _)) => {
                    let reason = format!("chunk {index} came instead of {expected}");
                    return Ok((stored, Some(HolderFault::Lost(reason))));
                }
                Err(fault) => return Ok((stored, Some(fault))),
            };
            let model = Arc::clone(&self.model);
            if blocking(move || store_chunk(&model, expected, &bytes)).await? {
                stored.push(expected);
            } else {
                self.note_corrupt(expected, node)?;
            }
        }
        Ok((stored, None))
    }

    async fn record(&mut self, stored: Vec<u32>) -> Result<(), WeightStoreError> {
        if stored.is_empty() {
            return Ok(());
        }
        let bytes = bytes_of(&self.model, &stored);
        let model = Arc::clone(&self.model);
        blocking(move || match &model.weights {
            Weights::Fetched(files) => files.record(&stored),
            Weights::Imported(_) => Ok(()),
        })
        .await?;
        self.done += bytes;
        (self.progress)(self.done, self.total);
        Ok(())
    }

    /// Names a corrupt piece; too many of the same are an error, fewer are asked for again.
    fn note_corrupt(&mut self, index: u32, node: NodeId) -> Result<(), WeightStoreError> {
        let chunk = self.model.chunk(index)?;
        let (file, offset) = (self.model.file_name(chunk).to_owned(), chunk.offset);
        let (end, from) = (offset + chunk.bytes, node.short());
        let attempts = self.corrupt.entry(index).or_default();
        *attempts += 1;
        tracing::warn!(%file, offset, end, %from, attempts, "corrupt chunk, fetched again");
        if *attempts < CORRUPT_MAX {
            return Ok(());
        }
        let attempts = *attempts;
        Err(WeightStoreError::CorruptAtHolder { file, offset, end, attempts, from })
    }

    fn request(&self, run: Run) -> WeightRequest {
        let Run { first, count } = run;
        WeightRequest::Chunks { manifest: self.model.digest, first, count }
    }

    fn what(&self) -> String {
        format!("weights of {}", self.model.manifest.name)
    }
}

async fn fetch_blob<P: Peers>(
    digest: Digest,
    what: &str,
    holders: &[NodeId],
    peers: &P,
) -> Result<Bytes, WeightStoreError> {
    let mut lost = None;
    for node in holders {
        let answer = match HolderStream::open(peers, *node).await {
            Ok(mut stream) => stream.blob(digest).await,
            Err(fault) => Err(fault),
        };
        match answer {
            Ok(bytes) => return Ok(bytes),
            Err(HolderFault::NotHeld) => {}
            Err(HolderFault::Lost(reason)) => {
                lost = Some(format!("node {}: {reason}", node.short()));
            }
        }
    }
    Err(match lost {
        Some(reason) => WeightStoreError::Interrupted { what: what.to_owned(), reason },
        None => not_held_by(what, holders),
    })
}

/// Consecutive chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u32,
    count: u32,
}

fn runs(chunks: &[u32]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for &index in chunks {
        match runs.last_mut() {
            Some(run) if run.count < RUN_CHUNKS && run.first + run.count == index => run.count += 1,
            _ => runs.push(Run { first: index, count: 1 }),
        }
    }
    runs
}

fn missing(model: &Model, chunks: &[u32]) -> Vec<u32> {
    let mut missing: Vec<_> = chunks.iter().copied().filter(|i| !model.holds(*i)).collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

fn bytes_of(model: &Model, chunks: &[u32]) -> u64 {
    chunks.iter().filter_map(|index| model.chunk(*index).ok()).map(|chunk| chunk.bytes).sum()
}

/// False when the bytes are not the chunk's.
fn store_chunk(model: &Model, index: u32, bytes: &[u8]) -> Result<bool, WeightStoreError> {
    let chunk = model.chunk(index)?;
    if bytes.len() as u64 != chunk.bytes || Digest::of(bytes) != chunk.digest {
        return Ok(false);
    }
    match &model.weights {
        Weights::Fetched(files) => files.write(chunk, bytes).map(|()| true),
        Weights::Imported(_) => Ok(true),
    }
}

fn not_held_by(what: &str, holders: &[NodeId]) -> WeightStoreError {
    let asked: Vec<_> = holders.iter().map(NodeId::short).collect();
    let asked = if asked.is_empty() { "nobody".to_owned() } else { asked.join(", ") };
    WeightStoreError::NotHeld { what: what.to_owned(), asked }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WeightStoreError> + Send + 'static,
) -> Result<T, WeightStoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let what = "a chunk".to_owned();
        Err(WeightStoreError::Interrupted { what, reason: error.to_string() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_consecutive_and_bounded() {
        let chunks: Vec<u32> = (0..RUN_CHUNKS + 2).chain([20, 22]).collect();
        let run = |first, count| Run { first, count };
        let expected = [run(0, RUN_CHUNKS), run(RUN_CHUNKS, 2), run(20, 1), run(22, 1)];
        assert_eq!(runs(&chunks), expected);
    }
}
