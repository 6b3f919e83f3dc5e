//! A simulated worker process: the real shard lifecycle, its control streams, its fake device.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::control::{CoordinatorMessage, Heartbeat, WorkerMessage};
use protocol::ids::{NodeId, ReplicaId};
use protocol::node_profile::LinkProfile;
use protocol::shard::ReplicaLoad;
use protocol::step_batch::StepBatch;
use worker::shard::{ShardAction, ShardEvent, ShardKey, ShardLifecycle, ShardTimeouts};

use super::cluster::{Cluster, Happening, Message, node_id, worker_of};
use super::network::{PipeId, Place};
use super::setting;
use super::sim_edges::Running;

const HEARTBEAT: Duration = Duration::from_millis(200);

pub(super) struct SimWorker {
    pub(super) node: NodeId,
    /// Counts restarts; what was due in an earlier life does not happen.
    pub(super) life: u64,
    pub(super) up: bool,
    pub(super) frozen_until: Duration,
    /// No control stream can be opened before.
    pub(super) detached_until: Duration,
    pub(super) shards: ShardLifecycle,
    /// Per coordinator.
    pub(super) control: Vec<Option<PipeId>>,
    pub(super) running: BTreeMap<ReplicaId, Running>,
    /// Streams accepted so far, over all epochs.
    pub(super) streams: u64,
}

pub(super) enum WorkerTimer {
    Heartbeat,
    ShardTick,
    Dial { coordinator: usize },
    Fetched(ShardKey),
    Loaded(ShardKey),
    Connect(ShardKey),
    StageDone { key: ShardKey, batch: StepBatch, stage_micros: Vec<u32> },
    HeadTick(ShardKey),
}

impl SimWorker {
    pub(super) fn new(index: usize, coordinators: usize) -> Self {
        let node = node_id(index);
        Self {
            node,
            life: 0,
            up: false,
            frozen_until: Duration::ZERO,
            detached_until: Duration::ZERO,
            shards: ShardLifecycle::new(node, ShardTimeouts::default()),
            control: vec![None; coordinators],
            running: BTreeMap::new(),
            streams: 0,
        }
    }

    fn loads(&self) -> Vec<ReplicaLoad> {
        let heads = self.running.values().filter_map(|running| running.head.as_ref());
        heads.map(|head| head.scheduler.load()).collect()
    }
}

impl Cluster {
    pub(super) fn start_worker(&mut self, index: usize) {
        let life = self.workers[index].life + 1;
        let fresh = SimWorker::new(index, self.coordinators.len());
        let streams = self.workers[index].streams;
        self.workers[index] = SimWorker { life, up: true, streams, ..fresh };
        for coordinator in 0..self.coordinators.len() {
            self.worker_after(index, Duration::ZERO, WorkerTimer::Dial { coordinator });
        }
        self.worker_after(index, HEARTBEAT, WorkerTimer::Heartbeat);
        self.worker_after(index, HEARTBEAT, WorkerTimer::ShardTick);
    }

    pub(super) fn worker_after(&mut self, index: usize, delay: Duration, timer: WorkerTimer) {
        let life = self.workers[index].life;
        self.agenda.after(delay, Happening::Worker { index, life, timer });
    }

    pub(super) fn worker_timer(&mut self, index: usize, timer: WorkerTimer) {
        match timer {
            WorkerTimer::Heartbeat => {
                self.heartbeat(index);
                self.worker_after(index, HEARTBEAT, WorkerTimer::Heartbeat);
            }
            WorkerTimer::ShardTick => {
                self.shard_event(index, ShardEvent::Tick);
                self.worker_after(index, Duration::from_millis(500), WorkerTimer::ShardTick);
            }
            WorkerTimer::Dial { coordinator } => self.dial(index, coordinator),
            WorkerTimer::Fetched(key) => self.shard_event(index, ShardEvent::Fetched { key }),
            WorkerTimer::Loaded(key) => self.shard_event(index, ShardEvent::Loaded { key }),
            WorkerTimer::Connect(key) => self.connect(index, key),
            WorkerTimer::StageDone { key, batch, stage_micros } => {
                self.stage_done(index, key, batch, stage_micros);
            }
            WorkerTimer::HeadTick(key) => self.head_tick(index, key),
        }
    }

    fn dial(&mut self, index: usize, coordinator: usize) {
        let worker = &self.workers[index];
        if worker.control[coordinator].is_some() {
            return;
        }
        let detached = self.agenda.now() < worker.detached_until;
        if detached || !self.dial_anew(index, coordinator) {
            let again = self.random.millis(50, 300);
            self.worker_after(index, again, WorkerTimer::Dial { coordinator });
        }
    }

    /// Opens a control stream, whether or not there is one; false if nobody answers.
    pub(super) fn dial_anew(&mut self, index: usize, coordinator: usize) -> bool {
        let Some(pipe) = self.open(Place::Worker(index), Place::Coordinator(coordinator)) else {
            return false;
        };
        self.workers[index].control[coordinator] = Some(pipe);
        let registration = setting::registration(index, self.workers[index].shards.statuses());
        let register = Message::ToCoordinator(WorkerMessage::Register(Box::new(registration)));
        self.send(pipe, Place::Worker(index), register);
        true
    }

    fn heartbeat(&mut self, index: usize) {
        let worker = &self.workers[index];
        let connected = worker.running.values().filter(|running| running.connected);
        let heartbeat = Heartbeat {
            shards: worker.shards.statuses(),
            loads: worker.loads(),
            peers_alive: connected.flat_map(|running| running.peers()).collect(),
            ..Heartbeat::default()
        };
        for pipe in worker.control.clone().into_iter().flatten() {
            let message = WorkerMessage::Heartbeat(heartbeat.clone());
            self.send(pipe, Place::Worker(index), Message::ToCoordinator(message));
        }
    }

    pub(super) fn told_by_coordinator(
        &mut self,
        index: usize,
        pipe: PipeId,
        message: CoordinatorMessage,
    ) {
        match message {
            CoordinatorMessage::Desired(set) => {
                self.shard_event(index, ShardEvent::Desired(set));
            }
            CoordinatorMessage::ProbeLinks { peers } => {
                for peer in peers {
                    let link = self.probe(index, worker_of(peer.node));
                    let message = WorkerMessage::Link { peer: peer.node, link };
                    self.send(pipe, Place::Worker(index), Message::ToCoordinator(message));
                }
            }
            _ => {}
        }
    }

    fn probe(&self, index: usize, peer: usize) -> LinkProfile {
        let (a, b) = (Place::Worker(index), Place::Worker(peer));
        let reachable = self.workers[peer].up && !self.network.is_cut(a, b, self.agenda.now());
        LinkProfile { reachable, ..LinkProfile::new(0.001, 1e8) }
    }

    pub(super) fn shard_event(&mut self, index: usize, event: ShardEvent) {
        let now = self.agenda.now();
        for action in self.workers[index].shards.step(event, now) {
            self.shard_action(index, action);
        }
    }

    fn shard_action(&mut self, index: usize, action: ShardAction) {
        match action {
            ShardAction::Fetch { shard } => {
                let delay = self.random.millis(5, 500);
                self.worker_after(index, delay, WorkerTimer::Fetched(ShardKey::of(&shard)));
            }
            ShardAction::Load { shard } => {
                let delay = self.random.millis(50, 400);
                self.worker_after(index, delay, WorkerTimer::Loaded(ShardKey::of(&shard)));
            }
            ShardAction::Reuse { shard, .. } => {
                self.stop_running(index, shard.replica, "its epoch is over");
                let delay = self.random.millis(1, 20);
                self.worker_after(index, delay, WorkerTimer::Loaded(ShardKey::of(&shard)));
            }
            ShardAction::Connect { shard } => {
                let key = ShardKey::of(&shard);
                if let Some(running) = Running::new(shard, self.workers[index].node) {
                    self.workers[index].running.insert(key.replica, running);
                    self.connect(index, key);
                }
            }
            ShardAction::Disconnect { key } => {
                self.stop_running(index, key.replica, "the pipeline is lost");
            }
            ShardAction::Drop { replica } => {
                self.stop_running(index, replica, "the shard was removed");
            }
            ShardAction::Report => self.heartbeat(index),
        }
    }

    pub(super) fn worker_broken(&mut self, index: usize, pipe: PipeId) {
        let control = self.workers[index].control.iter().position(|held| *held == Some(pipe));
        let Some(coordinator) = control else {
            return self.pipeline_broken(index, pipe);
        };
        self.workers[index].control[coordinator] = None;
        let delay = self.random.millis(10, 100);
        self.worker_after(index, delay, WorkerTimer::Dial { coordinator });
    }
}
