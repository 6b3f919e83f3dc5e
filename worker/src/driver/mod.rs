//! The worker's event loop: coordinators' messages and outcomes in, lifecycle steps, work out.

mod commands;
mod holding;
mod leaving;
mod loading;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::PackedCache;
use protocol::control::{Registration, Trust};
use protocol::identity::IdentityStore;
use protocol::ids::{NodeId, ReplicaId};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::control_link::{ControlLink, Snapshot};
use crate::device::Device;
use crate::error::WorkerError;
use crate::pipeline::{Pipeline, PipelineContext, PipelineSpec, Stop};
use crate::probe::OwnMemory;
use crate::shard::{ShardAction, ShardEvent, ShardKey, ShardLifecycle};
use crate::start::Stopping;
use crate::weight_store::WeightStore;

use holding::{Held, Holding, Work};
use leaving::Leaving;
pub(crate) use loading::Loaded;

/// Outcomes of background work that wait for the driver.
pub(crate) const OUTCOMES_MAX: usize = 256;
/// Deadlines are looked at, and heartbeats get fresh figures, this often.
const TICK: Duration = Duration::from_millis(200);
/// Beyond the drain time, for stages to end their step.
const DRAIN_SLACK: Duration = Duration::from_secs(3);

/// What background work tells the driver.
pub(crate) enum Outcome {
    Shard(ShardEvent),
    Loaded(Loaded),
    /// An operation ended; models held may have changed.
    OperationEnded {
        operation: String,
    },
}

/// The parts a driver is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) identity: IdentityStore,
    pub(crate) context: PipelineContext,
    pub(crate) store: Arc<WeightStore>,
    pub(crate) devices: Vec<Arc<Device>>,
    /// Packed weights on disk, if any are kept.
    pub(crate) packed: Option<PackedCache>,
    pub(crate) link: ControlLink,
    /// For the keeper of the identity.
    pub(crate) trust: watch::Sender<Trust>,
    pub(crate) registration: Registration,
    pub(crate) outcomes: mpsc::Receiver<Outcome>,
}

pub(crate) struct Driver {
    parts: Parts,
    lifecycle: ShardLifecycle,
    holdings: BTreeMap<ReplicaId, Holding>,
    /// Operations under way, so that one sent again by a new leader is not run twice.
    operations: BTreeSet<String>,
    /// What the sender of the current list of coordinators had applied.
    coordinators_applied: u64,
    origin: Instant,
    urgent: u64,
    memory: OwnMemory,
    /// Once it was told to stop.
    leaving: Option<Leaving>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let lifecycle = ShardLifecycle::new(parts.context.own, parts.config.timeouts.shards);
        Self {
            parts,
            lifecycle,
            holdings: BTreeMap::new(),
            operations: BTreeSet::new(),
            coordinators_applied: 0,
            origin: Instant::now(),
            urgent: 0,
            memory: OwnMemory::new(),
            leaving: None,
        }
    }

    /// Runs until it is told to stop, then drains; an error means the worker must not go on.
    pub(crate) async fn run(
        mut self,
        mut stopping: watch::Receiver<Stopping>,
    ) -> Result<(), WorkerError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = loop {
            tokio::select! {
                told = leaving::told(&mut stopping) => match told {
                    Stopping::Leave => self.leave(),
                    _ => break Ok(()),
                },
                Some(inbound) = self.parts.link.inbound.recv() => {
                    if let Err(error) = self.command(inbound) {
                        break Err(error);
                    }
                }
                Some(outcome) = self.parts.outcomes.recv() => self.outcome(outcome),
                _ = tick.tick() => self.feed(ShardEvent::Tick),
            }
            self.publish();
            if self.has_left() {
                break Ok(());
            }
        };
        tokio::select! {
            () = self.drain() => {}
            () = leaving::told_now(stopping) => {}
        }
        ended
    }

    fn own(&self) -> NodeId {
        self.parts.context.own
    }

    fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Shard(event) => self.feed(event),
            Outcome::Loaded(loaded) => self.loaded(loaded),
            Outcome::OperationEnded { operation } => {
                self.operations.remove(&operation);
                self.parts.registration.held_manifests = self.parts.store.held_manifests();
            }
        }
    }

    /// Keeps freshly loaded stages, unless their epoch is no longer wanted.
    fn loaded(&mut self, loaded: Loaded) {
        let key = loaded.key;
        let wanted = self.lifecycle.shard(key.replica).is_some_and(|s| ShardKey::of(s) == key);
        if !wanted {
            return holding::free(loaded.stages);
        }
        let holding = self.holdings.entry(key.replica).or_default();
        (holding.work, holding.held) = (None, Held::Stages(loaded));
        self.feed(ShardEvent::Loaded { key });
    }

    fn feed(&mut self, event: ShardEvent) {
        for action in self.lifecycle.step(event, self.origin.elapsed()) {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: ShardAction) {
        match action {
            ShardAction::Fetch { shard } => {
                let key = ShardKey::of(&shard);
                tracing::info!(%key, "fetching");
                self.parts.context.registry.announce(key);
                let task = loading::fetch(&self.parts, shard);
                self.work(key.replica, Work::Fetch(task));
            }
            ShardAction::Load { shard } => {
                tracing::info!(key = %ShardKey::of(&shard), "loading");
                let replica = shard.replica;
                let (task, wanted) = loading::load(&self.parts, shard);
                self.work(replica, Work::Load { task, wanted: Some(wanted) });
            }
            ShardAction::Reuse { shard, from } => {
                let key = ShardKey::of(&shard);
                tracing::info!(%key, %from, "keeping loaded stages");
                self.parts.context.registry.announce(key);
                let held = std::mem::take(&mut self.holdings.entry(key.replica).or_default().held);
                let task = loading::take_over(&self.parts.context, shard, held);
                self.work(key.replica, Work::Load { task, wanted: None });
            }
            ShardAction::Connect { shard } => self.connect(&shard),
            ShardAction::Disconnect { key } => {
                if let Some(Held::Pipeline(pipeline, _)) =
                    self.holdings.get_mut(&key.replica).map(|h| &mut h.held)
                    && pipeline.key == key
                {
                    pipeline.stop(Stop::Removed);
                }
            }
            ShardAction::Drop { replica } => {
                self.parts.context.registry.forget(replica);
                if let Some(holding) = self.holdings.remove(&replica) {
                    holding.release(&self.parts.devices);
                }
            }
            ShardAction::Report => self.urgent += 1,
        }
    }

    fn work(&mut self, replica: ReplicaId, work: Work) {
        self.holdings.entry(replica).or_default().work = Some(work);
    }

    fn connect(&mut self, shard: &protocol::shard::DesiredShard) {
        let holding = self.holdings.entry(shard.replica).or_default();
        holding.held = match std::mem::take(&mut holding.held) {
            Held::Stages(loaded) => {
                let spec = PipelineSpec {
                    key: loaded.key,
                    plan: Arc::new(shard.plan.clone()),
                    hidden_size: loaded.model.hidden_size,
                    vocab_size: loaded.model.vocab_size,
                    recurrent: loaded.model.recurrent,
                };
                let context = self.parts.context.clone();
                Held::Pipeline(Pipeline::start(context, spec, loaded.stages), loaded.model)
            }
            other => other,
        };
    }

    /// Gives the control streams what they say next.
    fn publish(&mut self) {
        let pipelines = self.holdings.values().filter_map(|holding| match &holding.held {
            Held::Pipeline(pipeline, _) => pipeline.load(),
            _ => None,
        });
        let snapshot = Snapshot {
            registration: self.parts.registration.clone(),
            shards: self.lifecycle.statuses(),
            loads: pipelines.collect(),
            memory_used_bytes: self.memory.resident_bytes(),
            leaving: self.leaving.is_some(),
            urgent: self.urgent,
        };
        let (shards, used) = (snapshot.shards.len(), snapshot.memory_used_bytes >> 20);
        let line = format!("{shards} shards, {used} MiB resident");
        self.parts.config.pulse.send_replace(line);
        self.parts.link.publish(snapshot);
    }

    /// Refuses what is new, lets what runs end in time, frees everything.
    async fn drain(mut self) {
        let time = self.parts.config.timeouts.drain;
        let holdings = std::mem::take(&mut self.holdings);
        let draining = holdings.into_values().map(|holding| holding.drain(time));
        let all = futures::future::join_all(draining);
        // Outcomes are read so that no pipeline waits for room to report its end.
        let unread = async {
            while self.parts.outcomes.recv().await.is_some() {}
            std::future::pending::<()>().await
        };
        tokio::select! {
            _ = tokio::time::timeout(time + DRAIN_SLACK, all) => {}
            () = unread => {}
        }
    }
}
