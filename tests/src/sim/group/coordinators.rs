//! A simulated coordinator process: the real log, state and consensus, the real reconciler, its
//! workers' control streams; it can lose its power at any moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator::reconcile::{Action, Event, Reconciler, ReconcilerConfig};
use coordinator::state::{Change, State};
use coordinator::testing::{Replica, Setting};
use protocol::admin::NodeState;
use protocol::control::{CoordinatorMessage, WorkerMessage};
use protocol::ids::NodeId;

use super::super::network::{PipeId, Place};
use super::cluster::{Group, Happening, Message};
use super::disk::Disk;
use super::nodes::{coordinator_id, worker_id};
use super::observation::Observation;
use super::output::Output;
use super::wire::SimWire;

const TICK: Duration = Duration::from_millis(50);
/// Of every how many ticks the leader looks after the group's members.
const TICKS_PER_TENDING: u64 = 4;
const PROPOSALS_MAX: usize = 64;
const SNAPSHOT_EVERY: u64 = 24;
const SNAPSHOT_KEEPS: u64 = 4;

pub(super) struct SimCoordinator {
    pub(super) disk: Disk,
    pub(super) life: u64,
    pub(super) up: bool,
    /// Its machine is off: nobody hears that it is gone.
    pub(super) dark: bool,
    /// It is no member any more.
    pub(super) removed: bool,
    pub(super) replica: Option<Replica>,
    pub(super) state: Arc<State>,
    reconciler: Reconciler,
    /// The term in which the reconciler leads.
    leading: Option<u64>,
    catching_up: bool,
    tending: bool,
    ticks: u64,
    proposals: usize,
    control: BTreeMap<NodeId, PipeId>,
    snapshot: usize,
}

impl SimCoordinator {
    pub(super) fn new(disk: Disk) -> Self {
        Self {
            disk,
            life: 0,
            up: false,
            dark: false,
            removed: false,
            replica: None,
            state: Arc::new(State::default()),
            reconciler: Reconciler::new(ReconcilerConfig::default()),
            leading: None,
            catching_up: false,
            tending: false,
            ticks: 0,
            proposals: 0,
            control: BTreeMap::new(),
            snapshot: 0,
        }
    }
}

impl SimCoordinator {
    pub(super) fn leads(&self) -> bool {
        self.leading.is_some()
    }

    /// The workers that the reconciler takes for lost, and why.
    pub(super) fn lost(&self, now: Duration) -> Vec<(NodeId, String)> {
        let view = self.reconciler.view(now);
        let lost = view.nodes.into_iter().filter(|(_, node)| node.state == NodeState::Lost);
        lost.map(|(id, node)| (id, node.reason)).collect()
    }
}

impl Group {
    pub(super) fn start_coordinator(&mut self, index: usize) {
        let old = &self.coordinators[index];
        if old.up || old.removed {
            return;
        }
        let (life, disk) = (old.life + 1, old.disk.clone());
        let open = disk.open(self.sabotage);
        let snapshot = disk.snapshot().map_or(0, |bytes| bytes.len());
        self.coordinators[index] =
            SimCoordinator { life, up: true, snapshot, ..SimCoordinator::new(disk) };
        self.trace.note(self.agenda.now(), || format!("c{index} starts"));
        let wire = SimWire { from: index, outputs: Arc::clone(&self.outputs) };
        let (sabotage, heartbeat, restarted) = (self.sabotage, self.heartbeat, life > 1);
        self.run_on(index, async move {
            let started = async {
                let database = redb::Builder::new()
                    .set_cache_size(1 << 20)
                    .create_with_backend(open.clone())
                    .map_err(|e| e.to_string())?;
                if restarted {
                    sabotage.of_log(&database).map_err(|e| e.to_string())?;
                }
                let setting = Setting {
                    own: coordinator_id(index),
                    address: format!("c{index}:7443"),
                    database,
                    snapshot: Arc::new(open),
                    wire: Arc::new(wire),
                    heartbeat,
                    election: 4 * heartbeat,
                    snapshot_every: SNAPSHOT_EVERY,
                    snapshot_keeps: SNAPSHOT_KEEPS,
                };
                Replica::start(setting).await.map_err(|e| e.to_string())
            };
            let started = started.await;
            Output::Started { index, life, started }
        });
        self.agenda.after(TICK, Happening::Coordinator { index, life });
    }

    pub(super) fn started(&mut self, index: usize, life: u64, started: Result<Replica, String>) {
        let coordinator = &mut self.coordinators[index];
        if coordinator.life != life || !coordinator.up {
            return;
        }
        match started {
            Ok(replica) => coordinator.replica = Some(replica),
            Err(error) => return self.break_off(format!("c{index} does not start: {error}")),
        }
        if life == 1 && index == 0 {
            self.found();
        }
    }

    /// The power fails, or only the process dies.
    pub(super) fn crash(&mut self, index: usize, power: bool) {
        let now = self.agenda.now();
        if !std::mem::replace(&mut self.coordinators[index].up, false) {
            return;
        }
        self.trace.note(now, || format!("c{index} dies (power: {power})"));
        if power {
            self.coordinators[index].disk.cut_power(&mut self.random);
        } else {
            self.coordinators[index].disk.kill();
        }
        self.coordinators[index].dark = power;
        self.coordinators[index].replica = None;
        self.coordinators[index].control.clear();
        self.executor.kill(index);
        self.lock_outputs().retain(|output| !output.is_of(index));
        self.hang_up(Place::Coordinator(index), power);
        self.ask_again_elsewhere(index);
        self.summary.restarts += 1;
    }

    /// A process whose disk failed in the middle of a write dies there and then; no other may
    /// panic.
    pub(super) fn crash_on_torn_writes(&mut self) {
        for index in self.executor.take_panicked() {
            if !self.coordinators[index].disk.has_failed() {
                self.break_off(format!("a task of c{index} panicked"));
            }
        }
        for index in 0..self.coordinators.len() {
            if self.coordinators[index].disk.take_failure() {
                self.crash(index, true);
                let back = self.random.millis(50, 1500);
                self.agenda.after(back, Happening::Restart(Place::Coordinator(index)));
            }
        }
    }

    /// Takes in what the coordinators applied since the last look.
    pub(super) fn look_at_states(&mut self) {
        for index in 0..self.coordinators.len() {
            let Some(replica) = &self.coordinators[index].replica else { continue };
            let state = replica.consensus().state();
            if Arc::ptr_eq(&state, &self.coordinators[index].state) {
                continue;
            }
            let before = std::mem::replace(&mut self.coordinators[index].state, Arc::clone(&state));
            let (now, applied) = (self.agenda.now(), state.applied);
            self.trace.note(now, || format!("c{index} applied {applied}"));
            self.observe(&Observation::Applied { coordinator: index, state: &state });
            self.look_at_snapshot(index, before.applied, applied);
            self.coordinators[index].removed = state.removed.contains(&coordinator_id(index));
            self.reconcile(index, Event::StateChanged(state));
        }
    }

    fn look_at_snapshot(&mut self, index: usize, before: u64, applied: u64) {
        let Some(bytes) = self.coordinators[index].disk.snapshot() else { return };
        if std::mem::replace(&mut self.coordinators[index].snapshot, bytes.len()) == bytes.len() {
            return;
        }
        self.summary.snapshots += 1;
        self.summary.installed += u64::from(before > 0 && applied > before + SNAPSHOT_EVERY);
        self.observe(&Observation::Snapshot { coordinator: index, bytes: &bytes });
    }

    pub(super) fn coordinator_tick(&mut self, index: usize) {
        let life = self.coordinators[index].life;
        self.agenda.after(TICK, Happening::Coordinator { index, life });
        let Some(replica) = self.coordinators[index].replica.clone() else { return };
        self.forget_calls();
        self.reconcile(index, Event::Tick);
        let position = replica.position();
        let coordinator = &mut self.coordinators[index];
        coordinator.ticks += 1;
        let term = position.leads.then_some(position.term);
        match term {
            None if coordinator.leading.take().is_some() => {
                self.reconcile(index, Event::BecameFollower);
            }
            Some(term) if coordinator.leading != Some(term) && !coordinator.catching_up => {
                coordinator.catching_up = true;
                let caught_up = replica.caught_up();
                self.run_on(index, async move {
                    let yes = caught_up.await;
                    Output::CaughtUp { index, life, term, yes }
                });
            }
            _ => {}
        }
        let coordinator = &mut self.coordinators[index];
        if term.is_some()
            && self.founded
            && coordinator.ticks.is_multiple_of(TICKS_PER_TENDING)
            && !std::mem::replace(&mut coordinator.tending, true)
        {
            let tended = replica.tend_membership();
            self.run_on(index, async move {
                drop(tended.await);
                Output::Tended { index, life }
            });
        }
    }

    pub(super) fn caught_up(&mut self, index: usize, life: u64, term: u64, yes: bool) {
        let coordinator = &mut self.coordinators[index];
        if coordinator.life != life {
            return;
        }
        coordinator.catching_up = false;
        let Some(replica) = coordinator.replica.as_ref().filter(|_| yes) else { return };
        let position = replica.position();
        if !position.leads || position.term != term {
            return;
        }
        let state = replica.consensus().state();
        coordinator.leading = Some(term);
        self.summary.leaders += 1;
        self.trace.note(self.agenda.now(), || format!("c{index} leads in term {term}"));
        self.observe(&Observation::Led { coordinator: index, state: &state });
        self.reconcile(index, Event::StateChanged(state));
        self.reconcile(index, Event::BecameLeader);
    }

    pub(super) fn tended(&mut self, index: usize, life: u64) {
        let coordinator = &mut self.coordinators[index];
        coordinator.tending &= coordinator.life != life;
    }

    pub(super) fn proposed(&mut self, index: usize, life: u64) {
        let coordinator = &mut self.coordinators[index];
        if coordinator.life == life {
            coordinator.proposals -= 1;
        }
    }

    fn reconcile(&mut self, index: usize, event: Event) {
        let now = self.agenda.now();
        for action in self.coordinators[index].reconciler.step(event, now) {
            match action {
                Action::Propose(change) => self.propose(index, change),
                Action::Send { node, message } => {
                    let pipe = self.coordinators[index].control.get(&node).copied();
                    if let (CoordinatorMessage::Desired(_), Some(_)) = (&message, pipe) {
                        self.trace
                            .note(now, || format!("c{index} tells {} its shards", node.short()));
                    }
                    if let Some(pipe) = pipe {
                        self.send(pipe, Place::Coordinator(index), Message::ToWorker(message));
                    }
                }
            }
        }
    }

    fn propose(&mut self, index: usize, change: Change) {
        let coordinator = &mut self.coordinators[index];
        let Some(replica) = coordinator.replica.clone() else { return };
        if coordinator.proposals >= PROPOSALS_MAX {
            return;
        }
        coordinator.proposals += 1;
        let life = coordinator.life;
        self.trace.note(self.agenda.now(), || format!("c{index} proposes {}", change.name()));
        self.run_on(index, async move {
            drop(replica.consensus().propose(change).await);
            Output::Proposed { index, life }
        });
    }

    pub(super) fn coordinator_hears(&mut self, index: usize, pipe: PipeId, message: WorkerMessage) {
        let Some([Place::Worker(worker), _]) = self.network.ends(pipe) else { return };
        let node = worker_id(worker);
        let coordinator = &mut self.coordinators[index];
        let current = coordinator.control.get(&node) == Some(&pipe);
        match message {
            WorkerMessage::Register(registration) => {
                if coordinator.state.removed.contains(&node) {
                    let message = Message::ToWorker(CoordinatorMessage::Removed);
                    return self.send(pipe, Place::Coordinator(index), message);
                }
                if !coordinator.state.members.contains_key(&node) {
                    return self.close(pipe, Place::Coordinator(index));
                }
                if let Some(older) = coordinator.control.insert(node, pipe) {
                    self.close(older, Place::Coordinator(index));
                }
                self.reconcile(index, Event::Registered { node, registration });
            }
            WorkerMessage::Heartbeat(heartbeat) if current => {
                self.reconcile(index, Event::Heartbeat { node, heartbeat });
            }
            WorkerMessage::Link { peer, link } if current => {
                self.reconcile(index, Event::LinkMeasured { node, peer, link });
            }
            _ => {}
        }
    }

    pub(super) fn coordinator_broken(&mut self, index: usize, pipe: PipeId) {
        let control = &mut self.coordinators[index].control;
        let node = control.iter().find(|(_, held)| **held == pipe).map(|(node, _)| *node);
        if let Some(node) = node {
            control.remove(&node);
            self.reconcile(index, Event::StreamLost { node });
        }
    }

    /// A worker opens its control stream, if somebody listens.
    pub(super) fn accept(&mut self, worker: usize, index: usize) -> Option<PipeId> {
        let coordinator = &self.coordinators[index];
        if !coordinator.up || coordinator.replica.is_none() {
            return None;
        }
        let ends = (Place::Worker(worker), Place::Coordinator(index));
        self.network.open(ends.0, ends.1, self.agenda.now())
    }
}
