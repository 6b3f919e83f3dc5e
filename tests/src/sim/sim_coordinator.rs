//! A simulated coordinator process: the real reconciler on a fake log, its workers' streams.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator::gateway::request;
use coordinator::gateway::router::Route;
use coordinator::reconcile::{Action, Event, Reconciler, ReconcilerConfig};
use coordinator::state::State;
use protocol::control::WorkerMessage;
use protocol::ids::NodeId;

use super::cluster::{Cluster, Happening, Message, node_id};
use super::network::{PipeId, Place};
use super::sim_gateway::Request;

const TICK: Duration = Duration::from_millis(50);

pub(super) struct SimCoordinator {
    pub(super) life: u64,
    pub(super) up: bool,
    pub(super) reconciler: Reconciler,
    pub(super) state: Arc<State>,
    control: BTreeMap<NodeId, PipeId>,
    /// By client.
    pub(super) requests: BTreeMap<usize, Request>,
    pub(super) streams: BTreeMap<PipeId, (usize, request::Attempt)>,
    pub(super) route: Route,
}

pub(super) enum CoordinatorTimer {
    Tick,
    Applied(Arc<State>),
    Request {
        client: usize,
    },
    /// A stream to a head could not be opened.
    Unopened {
        client: usize,
        attempt: request::Attempt,
    },
}

impl SimCoordinator {
    pub(super) fn new() -> Self {
        Self {
            life: 0,
            up: false,
            reconciler: Reconciler::new(ReconcilerConfig::default()),
            state: Arc::new(State::default()),
            control: BTreeMap::new(),
            requests: BTreeMap::new(),
            streams: BTreeMap::new(),
            route: Route::default(),
        }
    }
}

impl Cluster {
    pub(super) fn start_coordinator(&mut self, index: usize) {
        let life = self.coordinators[index].life + 1;
        self.coordinators[index] = SimCoordinator { life, up: true, ..SimCoordinator::new() };
        self.adopt_state(index, Arc::clone(&self.state));
        self.coordinator_after(index, TICK, CoordinatorTimer::Tick);
    }

    pub(super) fn coordinator_after(
        &mut self,
        index: usize,
        delay: Duration,
        timer: CoordinatorTimer,
    ) {
        let life = self.coordinators[index].life;
        self.agenda.after(delay, Happening::Coordinator { index, life, timer });
    }

    pub(super) fn coordinator_timer(&mut self, index: usize, timer: CoordinatorTimer) {
        match timer {
            CoordinatorTimer::Tick => {
                self.reconcile(index, Event::Tick);
                self.reroute(index);
                self.coordinator_after(index, TICK, CoordinatorTimer::Tick);
            }
            CoordinatorTimer::Applied(state) => self.adopt_state(index, state),
            CoordinatorTimer::Request { client } => self.request_timer(index, client),
            CoordinatorTimer::Unopened { client, attempt } => {
                let reason = "the stream could not be opened".to_owned();
                let lost = request::Event::Lost { attempt, reason };
                self.request_event(index, client, lost, None);
            }
        }
    }

    pub(super) fn adopt_state(&mut self, index: usize, state: Arc<State>) {
        let coordinator = &mut self.coordinators[index];
        if state.applied > coordinator.state.applied {
            coordinator.state = Arc::clone(&state);
            self.reconcile(index, Event::StateChanged(state));
        }
    }

    pub(super) fn reconcile(&mut self, index: usize, event: Event) {
        let now = self.agenda.now();
        for action in self.coordinators[index].reconciler.step(event, now) {
            match action {
                Action::Propose(change) => {
                    let (by, life) = (index, self.coordinators[index].life);
                    let delay = self.random.millis(5, 20);
                    self.agenda.after(delay, Happening::Commit { by, life, change });
                }
                Action::Send { node, message } => {
                    if let Some(pipe) = self.coordinators[index].control.get(&node).copied() {
                        let place = Place::Coordinator(index);
                        self.send(pipe, place, Message::ToWorker(message));
                    }
                }
            }
        }
    }

    pub(super) fn coordinator_hears(&mut self, index: usize, pipe: PipeId, message: WorkerMessage) {
        let Some([Place::Worker(worker), _]) = self.network.ends(pipe) else { return };
        let node = node_id(worker);
        let current = self.coordinators[index].control.get(&node) == Some(&pipe);
        match message {
            WorkerMessage::Register(registration) => {
                let older = self.coordinators[index].control.insert(node, pipe);
                if let Some(older) = older {
                    // Two streams of one worker: the newer is the one it listens to.
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
        let coordinator = &mut self.coordinators[index];
        let node = coordinator.control.iter().find(|(_, held)| **held == pipe).map(|(n, _)| *n);
        if let Some(node) = node {
            coordinator.control.remove(&node);
            self.reconcile(index, Event::StreamLost { node });
        } else if let Some((client, attempt)) = coordinator.streams.remove(&pipe) {
            let reason = "the stream broke".to_owned();
            self.request_event(index, client, request::Event::Lost { attempt, reason }, None);
        }
    }
}
