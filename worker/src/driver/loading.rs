//! Background work of a shard: fetch its weights, book and load its stages, or take them over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use checkpoint::Manifest;
use engine::{
    Compute, EngineError, PackedCache, PackedIdentity, PackedShard, Place, Stage, StageConfig,
    StageMemory,
};
use protocol::ids::{Digest, NodeId};
use protocol::plan::Plan;
use protocol::shard::{DesiredShard, ShardFailure};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::holding::Held;
use super::{Outcome, Parts};
use crate::device::{Booking, Device};
use crate::error::WorkerError;
use crate::pipeline::{LoadedStage, PipelineContext, Stop, lower_priority};
use crate::shard::{LocalRank, ShardEvent, ShardKey, local_ranks};
use crate::weight_store::{LocalSource, WeightStore};

/// Progress is reported at most this often.
const PROGRESS_PERIOD: Duration = Duration::from_millis(200);
/// Memory that is being freed may take that many more looks to show.
const BOOKING_ATTEMPTS: u32 = 10;
const BOOKING_PAUSE: Duration = Duration::from_millis(100);

/// Facts of a model that frames are checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModelFacts {
    pub(crate) hidden_size: u32,
    pub(crate) vocab_size: u32,
    pub(crate) recurrent: bool,
}

/// All local stages of one epoch, in memory.
pub(crate) struct Loaded {
    pub(crate) key: ShardKey,
    pub(crate) model: ModelFacts,
    pub(crate) stages: Vec<LoadedStage>,
}

/// Brings the chunks of the shard's layers into the store.
pub(super) fn fetch(parts: &Parts, shard: Arc<DesiredShard>) -> JoinHandle<()> {
    let (store, context) = (Arc::clone(&parts.store), parts.context.clone());
    tokio::spawn(async move {
        let key = ShardKey::of(&shard);
        let event = match fetch_weights(&store, &context, &shard).await {
            Ok(()) => ShardEvent::Fetched { key },
            Err(error) => {
                let (kind, reason) = (error.shard_failure(), error.to_string());
                ShardEvent::Failed { key, kind, reason }
            }
        };
        context.report(event).await;
    })
}

/// Books the memory of every local stage, then reads them one after the other. Dropping the sender
/// breaks it off while it still waits for memory.
pub(super) fn load(
    parts: &Parts,
    shard: Arc<DesiredShard>,
) -> (JoinHandle<()>, oneshot::Sender<()>) {
    let (store, context) = (Arc::clone(&parts.store), parts.context.clone());
    let (devices, packed) = (parts.devices.clone(), parts.packed.clone());
    let (wanted, unwanted) = oneshot::channel();
    let task = tokio::spawn(async move {
        let key = ShardKey::of(&shard);
        let weights = Weights { store, packed, manifest: shard.plan.manifest() };
        let booked = tokio::select! {
            booked = book_stages(&weights, context.own, &devices, &shard) => booked,
            _ = unwanted => return,
        };
        let loaded = match booked {
            Ok(booked) => load_stages(weights, &context, key, booked).await,
            Err(failure) => Err(failure),
        };
        let outcome = match loaded {
            Ok(loaded) => Outcome::Loaded(loaded),
            Err((kind, reason)) => Outcome::Shard(ShardEvent::Failed { key, kind, reason }),
        };
        // Fails only when the worker is shutting down.
        let _ = context.outcomes.send(outcome).await;
    });
    (task, wanted)
}

/// Stops the pipeline of the older epoch and hands its stages to `shard`.
pub(super) fn take_over(
    context: &PipelineContext,
    shard: Arc<DesiredShard>,
    held: Held,
) -> JoinHandle<()> {
    let context = context.clone();
    tokio::spawn(async move {
        let key = ShardKey::of(&shard);
        let model = match &held {
            Held::Nothing => None,
            Held::Stages(loaded) => Some(loaded.model),
            Held::Pipeline(_, model) => Some(*model),
        };
        let mut stages = held.into_stages(Stop::Replaced).await;
        stages.sort_by_key(|stage| stage.rank.index);
        let ranks = local_ranks(&shard.plan, context.own);
        let outcome = match model {
            Some(model) if stages.len() == ranks.len() => {
                // Same stages in the same order, perhaps at another place of the pipeline.
                for (stage, rank) in stages.iter_mut().zip(ranks) {
                    stage.rank = rank;
                }
                Outcome::Loaded(Loaded { key, model, stages })
            }
            _ => {
                let (found, wanted) = (stages.len(), ranks.len());
                let reason = format!("{found} of {wanted} stages came back from the older epoch");
                let kind = ShardFailure::Internal;
                Outcome::Shard(ShardEvent::Failed { key, kind, reason })
            }
        };
        // Fails only when the worker is shutting down.
        let _ = context.outcomes.send(outcome).await;
    })
}

async fn fetch_weights(
    store: &WeightStore,
    context: &PipelineContext,
    shard: &DesiredShard,
) -> Result<(), WorkerError> {
    let peers = &*context.peers;
    let digest = shard.plan.manifest();
    let manifest = store.ensure_manifest(digest, &shard.holders, peers).await?;
    let key = ShardKey::of(shard);
    let mut chunks: Vec<u32> = local_ranks(&shard.plan, context.own)
        .iter()
        .flat_map(|rank| manifest.chunks_of(shard.plan.stages()[rank.stage.0 as usize].layers))
        .collect();
    chunks.sort_unstable();
    chunks.dedup();
    let mut progress = Progress::new(context.outcomes.clone());
    let mut report = |done_bytes, total_bytes| {
        progress.report(ShardEvent::FetchProgress { key, done_bytes, total_bytes });
    };
    Ok(store.ensure(&manifest, &chunks, &shard.holders, peers, &mut report).await?)
}

/// A model of whose stages each has its memory.
struct BookedModel {
    manifest: Arc<Manifest>,
    stages: Vec<Booked>,
}

async fn book_stages(
    weights: &Weights,
    own: NodeId,
    devices: &[Arc<Device>],
    shard: &DesiredShard,
) -> Result<BookedModel, (ShardFailure, String)> {
    let failed = |error: WorkerError| (error.shard_failure(), error.to_string());
    let manifest = weights.store.manifest(weights.manifest).map_err(|e| failed(e.into()))?;
    let mut stages = Vec::new();
    for rank in local_ranks(&shard.plan, own) {
        let config = stage_config(&shard.plan, &rank, &manifest).map_err(failed)?;
        let place = devices.get(rank.plan.device as usize).and_then(|device| device.place());
        let memory = match place {
            Some(place) => StageMemory::estimate_at(place, &manifest, &config),
            None => StageMemory::estimate(&manifest, &config),
        };
        let bytes = memory.map_err(|error| (load_failure(&error), error.to_string()))?.total();
        let (device, booking) = book(devices, rank.plan.device, bytes).await.map_err(failed)?;
        stages.push(Booked { rank, config, device, booking });
    }
    Ok(BookedModel { manifest, stages })
}

async fn load_stages(
    weights: Weights,
    context: &PipelineContext,
    key: ShardKey,
    booked: BookedModel,
) -> Result<Loaded, (ShardFailure, String)> {
    let failed = |error: WorkerError| (error.shard_failure(), error.to_string());
    let BookedModel { manifest, stages } = booked;
    let model = ModelFacts {
        hidden_size: manifest.spec.hidden_size,
        vocab_size: manifest.spec.vocab_size,
        recurrent: manifest.spec.is_recurrent(),
    };
    let progress = Progress::new(context.outcomes.clone());
    let reading = on_loader_thread(move || read_stages(&weights, &manifest, key, stages, progress));
    let stages = reading.await.map_err(failed)??;
    Ok(Loaded { key, model, stages })
}

/// Where the weights of a model's stages are.
struct Weights {
    store: Arc<WeightStore>,
    packed: Option<PackedCache>,
    manifest: Digest,
}

struct Booked {
    rank: LocalRank,
    config: StageConfig,
    device: Arc<Device>,
    booking: Booking,
}

fn stage_config(
    plan: &Plan,
    rank: &LocalRank,
    manifest: &Manifest,
) -> Result<StageConfig, WorkerError> {
    let stage = &plan.stages()[rank.stage.0 as usize];
    let layers = stage.layers;
    let model_layers = manifest.spec.layer_count();
    if plan.layer_count() != model_layers {
        let plan_layers = plan.layer_count();
        return Err(WorkerError::WrongModel { plan_layers, model_layers });
    }
    let (kv, activation, share) = (plan.kv(), plan.activation(), rank.plan.share);
    Ok(StageConfig { layers, kv, activation, share })
}

/// Books once nothing is on its way out; the error names what is missing.
async fn book(
    devices: &[Arc<Device>],
    index: u32,
    bytes: u64,
) -> Result<(Arc<Device>, Booking), WorkerError> {
    let unknown = WorkerError::NoSuchDevice { device: index, devices: devices.len() };
    let device = devices.get(index as usize).ok_or(unknown)?;
    device.settled().await;
    let mut attempt = 0;
    loop {
        match device.book(bytes) {
            Ok(booking) => return Ok((Arc::clone(device), booking)),
            Err(error) if attempt == BOOKING_ATTEMPTS => return Err(error),
            Err(_) => tokio::time::sleep(BOOKING_PAUSE).await,
        }
        attempt += 1;
    }
}

fn read_stages(
    weights: &Weights,
    manifest: &Manifest,
    key: ShardKey,
    booked: Vec<Booked>,
    mut progress: Progress,
) -> Result<Vec<LoadedStage>, (ShardFailure, String)> {
    let failed = |error: WorkerError| (error.shard_failure(), error.to_string());
    let source = weights.store.source(manifest).map_err(|error| failed(error.into()))?;
    let total_bytes = booked.iter().map(|b| manifest.stage_bytes(b.config.layers)).sum();
    let mut stages = Vec::new();
    let mut before = 0;
    for Booked { rank, config, device, booking } in booked {
        let mut report = |read: u64| {
            let done_bytes = before + read;
            progress.report(ShardEvent::LoadProgress { key, done_bytes, total_bytes });
        };
        let loaded = load_stage(weights, device.place(), manifest, &source, &config, &mut report);
        let stage = loaded.map_err(|error| match device.place() {
            Some(_) if error.is_out_of_memory() => failed(device.ran_out(booking.bytes())),
            _ => (load_failure(&error), error.to_string()),
        })?;
        before += manifest.stage_bytes(config.layers);
        stages.push(LoadedStage::new(rank, stage, device, booking));
    }
    Ok(stages)
}

/// Takes the weights from where they are packed already, or packs them, and keeps that if it is to.
fn load_stage(
    weights: &Weights,
    place: Option<&Place>,
    manifest: &Manifest,
    source: &LocalSource,
    config: &StageConfig,
    report: &mut dyn FnMut(u64),
) -> Result<Stage, EngineError> {
    if let Some(place) = place {
        return Stage::load_at(place, manifest, source, config, report);
    }
    let Some(packed) = &weights.packed else {
        return Stage::load(manifest, source, config, report);
    };
    let (layers, share) = (config.layers, config.share);
    let identity = PackedIdentity { source: weights.manifest, layers, share };
    let shard = packed.shard(identity, Compute::of_process().threads());
    let stage = Stage::load(manifest, &shard.over(source), config, report)?;
    if !shard.is_found() {
        keep_packed(shard);
    }
    Ok(stage)
}

/// The stage serves while its packed weights are written.
fn keep_packed(shard: PackedShard) {
    let body = move || {
        lower_priority();
        if let Err(error) = shard.keep() {
            tracing::warn!(%error, "packed weights are not kept");
        }
    };
    let thread = std::thread::Builder::new().name("packed-weights".to_owned()).spawn(body);
    if let Err(error) = thread {
        tracing::warn!(%error, "packed weights are not kept");
    }
}

fn load_failure(error: &EngineError) -> ShardFailure {
    match error {
        EngineError::OutOfMemory { .. } => ShardFailure::OutOfMemory,
        EngineError::Read { .. } => ShardFailure::WeightsCorrupt,
        _ => ShardFailure::Internal,
    }
}

/// A thread of its own, below the threads that detect failures.
async fn on_loader_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, WorkerError> {
    let (done, result) = oneshot::channel();
    let body = move || {
        lower_priority();
        // Nobody waits any more when the worker shuts down.
        let _ = done.send(work());
    };
    let thread = std::thread::Builder::new().name("loader".to_owned());
    thread.spawn(body).map_err(WorkerError::Thread)?;
    result.await.map_err(|_| WorkerError::Thread(std::io::Error::other("the loader panicked")))
}

/// Passes progress on, but not every byte of it.
struct Progress {
    outcomes: mpsc::Sender<Outcome>,
    last: Option<Instant>,
}

impl Progress {
    fn new(outcomes: mpsc::Sender<Outcome>) -> Self {
        Self { outcomes, last: None }
    }

    fn report(&mut self, event: ShardEvent) {
        if self.last.is_none_or(|last| last.elapsed() >= PROGRESS_PERIOD) {
            self.last = Some(Instant::now());
            // A busy driver misses one report of many.
            let _ = self.outcomes.try_send(Outcome::Shard(event));
        }
    }
}
