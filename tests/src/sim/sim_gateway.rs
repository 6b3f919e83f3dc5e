//! The gateway of a simulated coordinator: the real life of each request, and its streams.

use std::time::Duration;

use coordinator::gateway::request::{Action, Attempt, Event, Patience, RequestLife};
use coordinator::gateway::router::{ReplicaForm, Route, Target};
use protocol::admin::NodeState;
use protocol::generate::GenerateEvent;
use protocol::ids::NodeId;
use protocol::shard::ShardState;
use worker::shard::ShardKey;

use super::cluster::{Cluster, Message, worker_of};
use super::network::{PipeId, Place};
use super::observation::{Fate, Observation};
use super::setting::MODEL;
use super::sim_coordinator::CoordinatorTimer;

const PATIENCE: Patience = Patience {
    plan: Duration::from_secs(40),
    accept: Duration::from_secs(5),
    first_token: Duration::from_secs(60),
    silence: Duration::from_secs(30),
    total: Duration::from_secs(600),
};

pub(super) struct Request {
    life: RequestLife,
    armed: Option<Duration>,
}

impl Cluster {
    /// A client connects to a coordinator that is there; a client that finds none goes away.
    pub(super) fn arrive(&mut self, client: usize) {
        let up: Vec<_> =
            (0..self.coordinators.len()).filter(|i| self.coordinators[*i].up).collect();
        if up.is_empty() {
            self.fates[client] = Fate::Gone;
            return;
        }
        let index = up[self.random.below(up.len())];
        let now = self.agenda.now();
        let life = RequestLife::new(self.clients[client].spec.clone(), PATIENCE, now);
        let coordinator = &mut self.coordinators[index];
        coordinator.requests.insert(client, Request { life, armed: None });
        let route = coordinator.route.clone();
        self.request_event(index, client, Event::Route(route), None);
    }

    pub(super) fn leave(&mut self, client: usize) {
        for index in 0..self.coordinators.len() {
            if self.coordinators[index].requests.contains_key(&client) {
                self.fates[client] = Fate::Gone;
                self.request_event(index, client, Event::ClientGone, None);
            }
        }
    }

    pub(super) fn request_timer(&mut self, index: usize, client: usize) {
        if let Some(request) = self.coordinators[index].requests.get_mut(&client) {
            request.armed = None;
            self.request_event(index, client, Event::Timer, None);
        }
    }

    pub(super) fn request_event(
        &mut self,
        index: usize,
        client: usize,
        event: Event,
        source: Option<ShardKey>,
    ) {
        let now = self.agenda.now();
        let Some(request) = self.coordinators[index].requests.get_mut(&client) else { return };
        let actions = request.life.step(event, now);
        let ended = request.life.ended();
        if let Some(deadline) = request.life.deadline()
            && request.armed.is_none_or(|armed| deadline < armed)
        {
            request.armed = Some(deadline);
            let wait = deadline.saturating_sub(now);
            self.coordinator_after(index, wait, CoordinatorTimer::Request { client });
        }
        for action in actions {
            self.observe(&Observation::Told { client, source, action: &action });
            self.request_action(index, client, action);
        }
        if ended {
            self.coordinators[index].requests.remove(&client);
            self.close_streams(index, |(owner, _)| owner == client);
        }
    }

    fn request_action(&mut self, index: usize, client: usize, action: Action) {
        match action {
            Action::Submit { attempt, target, request } => {
                let key = ShardKey { replica: target.replica, epoch: target.epoch };
                self.observe(&Observation::Submitted { client, attempt, key });
                let (from, to) = (Place::Coordinator(index), Place::Worker(worker_of(target.node)));
                if let Some(pipe) = self.open(from, to) {
                    self.coordinators[index].streams.insert(pipe, (client, attempt));
                    self.send(pipe, from, Message::Generate { key, request });
                } else {
                    let delay = self.random.millis(20, 1000);
                    let timer = CoordinatorTimer::Unopened { client, attempt };
                    self.coordinator_after(index, delay, timer);
                }
            }
            Action::Cancel { attempt } => {
                self.close_streams(index, |owner| owner == (client, attempt));
            }
            Action::Finish(_) | Action::Fail(_) => self.fates[client] = Fate::Ended,
            Action::Accepted | Action::Reshared | Action::Emit(_) => {}
        }
    }

    fn close_streams(&mut self, index: usize, which: impl Fn((usize, Attempt)) -> bool) {
        let streams = &mut self.coordinators[index].streams;
        let closed: Vec<PipeId> =
            streams.iter().filter(|(_, owner)| which(**owner)).map(|(pipe, _)| *pipe).collect();
        for pipe in closed {
            self.coordinators[index].streams.remove(&pipe);
            self.close(pipe, Place::Coordinator(index));
        }
    }

    pub(super) fn gateway_hears(
        &mut self,
        index: usize,
        pipe: PipeId,
        key: ShardKey,
        event: GenerateEvent,
    ) {
        let stream = self.coordinators[index].streams.get(&pipe).copied();
        let Some((client, attempt)) = stream else { return };
        if matches!(event, GenerateEvent::Finished(_) | GenerateEvent::Refused(_)) {
            self.coordinators[index].streams.remove(&pipe);
            self.close(pipe, Place::Coordinator(index));
        }
        let ShardKey { replica, epoch } = key;
        let event = Event::Head { attempt, replica, epoch, event };
        self.request_event(index, client, event, Some(key));
    }

    /// Tells every request when the replica's place or readiness changed.
    pub(super) fn reroute(&mut self, index: usize) {
        let route = self.route(index);
        if self.coordinators[index].route == route {
            return;
        }
        self.coordinators[index].route = route.clone();
        let clients: Vec<_> = self.coordinators[index].requests.keys().copied().collect();
        for client in clients {
            self.request_event(index, client, Event::Route(route.clone()), None);
        }
    }

    /// A target once every node of the plan is there and says that it is ready.
    fn route(&self, index: usize) -> Route {
        let coordinator = &self.coordinators[index];
        let view = coordinator.reconciler.view(self.agenda.now());
        let Some(deployment) = coordinator.state.deployments.get(MODEL) else {
            return Route::default();
        };
        let Some(placement) = &deployment.placement else { return Route::default() };
        let ready = |node: &NodeId| {
            view.nodes.get(node).is_some_and(|live| {
                live.state == NodeState::Ready
                    && live.shards.iter().any(|shard| {
                        shard.replica == deployment.replica
                            && shard.epoch == placement.epoch
                            && shard.state == ShardState::Ready
                    })
            })
        };
        if !placement.plan.nodes().iter().all(ready) {
            return Route::default();
        }
        let kv = placement.plan.kv();
        let target = Target {
            replica: deployment.replica,
            epoch: placement.epoch,
            node: placement.plan.head().node,
            form: ReplicaForm {
                manifest: deployment.manifest,
                kv_type: kv.kv_type,
                activation: placement.plan.activation(),
            },
            sharing: placement.plan.sharing(),
            waiting: 0,
            running: 0,
        };
        Route { targets: vec![target], shortage: None }
    }
}
