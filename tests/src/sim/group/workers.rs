//! A simulated worker process: the real shard lifecycle and its control streams; what it loads and
//! connects takes a while and nothing else.

use std::time::Duration;

use protocol::control::{CoordinatorMessage, Heartbeat, WorkerMessage};
use protocol::node_profile::LinkProfile;
use protocol::shard::DesiredShards;
use worker::shard::{ShardAction, ShardEvent, ShardKey, ShardLifecycle, ShardTimeouts};

use super::super::network::{IDLE, PipeId, Place};
use super::super::setting;
use super::cluster::{Group, Happening, Message, WorkerTimer};
use super::nodes::{worker_id, worker_of};
use super::observation::Observation;
use super::sabotage::Sabotage;

const HEARTBEAT: Duration = Duration::from_millis(200);

pub(super) struct SimWorker {
    pub(super) life: u64,
    pub(super) up: bool,
    /// It was told that it is no member any more.
    removed: bool,
    shards: ShardLifecycle,
    /// Of the last set of shards it took.
    newest: u64,
    /// By coordinator.
    control: Vec<Option<PipeId>>,
}

impl SimWorker {
    pub(super) fn new(index: usize, coordinators: usize) -> Self {
        Self {
            life: 0,
            up: false,
            removed: false,
            shards: ShardLifecycle::new(worker_id(index), ShardTimeouts::default()),
            newest: 0,
            control: vec![None; coordinators],
        }
    }
}

impl Group {
    pub(super) fn start_worker(&mut self, index: usize) {
        let old = &self.workers[index];
        if old.up || old.removed {
            return;
        }
        let life = old.life + 1;
        let fresh = SimWorker::new(index, self.coordinators.len());
        self.workers[index] = SimWorker { life, up: true, ..fresh };
        for coordinator in 0..self.coordinators.len() {
            self.worker_after(index, Duration::ZERO, WorkerTimer::Dial { coordinator });
        }
        let first = self.random.millis(0, 200);
        self.worker_after(index, first, WorkerTimer::Heartbeat);
    }

    pub(super) fn kill_worker(&mut self, index: usize, silent: bool) {
        if std::mem::replace(&mut self.workers[index].up, false) {
            self.trace.note(self.agenda.now(), || format!("w{index} dies (power: {silent})"));
            self.hang_up(Place::Worker(index), silent);
        }
    }

    /// Closes what ends at a place whose process is gone; the other ends hear of it now or, if the
    /// machine is off, when their patience ends.
    pub(super) fn hang_up(&mut self, place: Place, silent: bool) {
        let now = self.agenda.now();
        for pipe in self.network.pipes_of(place) {
            if let Some((at, when)) = self.network.close(pipe, place, now) {
                let when = if silent { now + IDLE } else { when };
                self.agenda.at(when, Happening::Broken { pipe, at });
            }
        }
    }

    fn worker_after(&mut self, index: usize, delay: Duration, timer: WorkerTimer) {
        let life = self.workers[index].life;
        self.agenda.after(delay, Happening::Worker { index, life, timer });
    }

    pub(super) fn worker_timer(&mut self, index: usize, timer: WorkerTimer) {
        match timer {
            WorkerTimer::Heartbeat => {
                self.shard_event(index, ShardEvent::Tick);
                self.heartbeat(index);
                self.worker_after(index, HEARTBEAT, WorkerTimer::Heartbeat);
            }
            WorkerTimer::Dial { coordinator } => self.dial(index, coordinator),
            WorkerTimer::Fetched(key) => self.shard_event(index, ShardEvent::Fetched { key }),
            WorkerTimer::Loaded(key) => self.shard_event(index, ShardEvent::Loaded { key }),
            WorkerTimer::Connected(key) => self.shard_event(index, ShardEvent::Connected { key }),
        }
    }

    fn dial(&mut self, index: usize, coordinator: usize) {
        if self.workers[index].removed || self.workers[index].control[coordinator].is_some() {
            return;
        }
        let Some(pipe) = self.accept(index, coordinator) else {
            let again = self.random.millis(50, 300);
            return self.worker_after(index, again, WorkerTimer::Dial { coordinator });
        };
        self.workers[index].control[coordinator] = Some(pipe);
        let registration = setting::registration(index, self.workers[index].shards.statuses());
        let register = Message::ToCoordinator(WorkerMessage::Register(Box::new(registration)));
        self.send(pipe, Place::Worker(index), register);
    }

    fn heartbeat(&mut self, index: usize) {
        let worker = &self.workers[index];
        let heartbeat = Heartbeat { shards: worker.shards.statuses(), ..Heartbeat::default() };
        for pipe in worker.control.clone().into_iter().flatten() {
            let message = Message::ToCoordinator(WorkerMessage::Heartbeat(heartbeat.clone()));
            self.send(pipe, Place::Worker(index), message);
        }
    }

    pub(super) fn worker_hears(&mut self, index: usize, pipe: PipeId, message: CoordinatorMessage) {
        match message {
            CoordinatorMessage::Desired(set) => self.take_shards(index, set),
            CoordinatorMessage::ProbeLinks { peers } => {
                for peer in peers {
                    let reachable = worker_of(peer.node).is_some_and(|peer| {
                        let (a, b) = (Place::Worker(index), Place::Worker(peer));
                        self.workers[peer].up && !self.network.is_cut(a, b, self.agenda.now())
                    });
                    let link = LinkProfile { reachable, ..LinkProfile::new(0.001, 1e8) };
                    let message = WorkerMessage::Link { peer: peer.node, link };
                    self.send(pipe, Place::Worker(index), Message::ToCoordinator(message));
                }
            }
            CoordinatorMessage::Removed => {
                self.workers[index].removed = true;
                self.kill_worker(index, false);
            }
            _ => {}
        }
    }

    fn take_shards(&mut self, index: usize, mut set: DesiredShards) {
        let worker = &mut self.workers[index];
        if self.sabotage == Sabotage::EpochUnchecked && set.index < worker.newest {
            worker.shards = ShardLifecycle::new(worker_id(index), ShardTimeouts::default());
        }
        set.shards.retain(|shard| shard.plan.nodes().contains(&worker_id(index)));
        worker.newest = set.index;
        let life = worker.life;
        let before: Vec<_> =
            worker.shards.statuses().iter().map(|s| (s.replica, s.epoch)).collect();
        self.shard_event(index, ShardEvent::Desired(set));
        for status in self.workers[index].shards.statuses() {
            if !before.contains(&(status.replica, status.epoch)) {
                let key = ShardKey { replica: status.replica, epoch: status.epoch };
                self.summary.epochs += 1;
                self.trace.note(self.agenda.now(), || format!("w{index} holds {key}"));
                self.observe(&Observation::Held { worker: index, life, key });
            }
        }
    }

    fn shard_event(&mut self, index: usize, event: ShardEvent) {
        let now = self.agenda.now();
        for action in self.workers[index].shards.step(event, now) {
            let (most, next): (_, fn(ShardKey) -> WorkerTimer) = match &action {
                ShardAction::Fetch { .. } => (300, WorkerTimer::Fetched),
                ShardAction::Load { .. } => (300, WorkerTimer::Loaded),
                ShardAction::Reuse { .. } => (20, WorkerTimer::Loaded),
                ShardAction::Connect { .. } => (100, WorkerTimer::Connected),
                ShardAction::Report => {
                    self.heartbeat(index);
                    continue;
                }
                ShardAction::Disconnect { .. } | ShardAction::Drop { .. } => continue,
            };
            let (ShardAction::Fetch { shard }
            | ShardAction::Load { shard }
            | ShardAction::Reuse { shard, .. }
            | ShardAction::Connect { shard }) = action
            else {
                continue;
            };
            let delay = self.random.millis(1, most);
            self.worker_after(index, delay, next(ShardKey::of(&shard)));
        }
    }

    /// A worker that closed its streams opens others.
    pub(super) fn redial(&mut self, index: usize) {
        for coordinator in 0..self.coordinators.len() {
            self.workers[index].control[coordinator] = None;
            let delay = self.random.millis(10, 100);
            self.worker_after(index, delay, WorkerTimer::Dial { coordinator });
        }
    }

    pub(super) fn worker_broken(&mut self, index: usize, pipe: PipeId) {
        let control = self.workers[index].control.iter().position(|held| *held == Some(pipe));
        if let Some(coordinator) = control {
            self.workers[index].control[coordinator] = None;
            let delay = self.random.millis(10, 100);
            self.worker_after(index, delay, WorkerTimer::Dial { coordinator });
        }
    }
}
