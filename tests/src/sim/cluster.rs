//! The simulated cluster: real state machines, a fake log, a fake network, one agenda for all.

use std::sync::Arc;
use std::time::Duration;

use coordinator::reconcile;
use coordinator::state::{Change, State};
use protocol::control::{CoordinatorMessage, WorkerMessage};
use protocol::generate::{GenerateEvent, GenerateRequest};
use protocol::ids::NodeId;
use protocol::plan::Edge;
use protocol::step_batch::{StepBatch, StepResult};
use worker::shard::ShardKey;

use super::clock::Agenda;
use super::faults::Fault;
use super::network::{Network, PipeId, Place};
use super::observation::{End, Fate, Observation, Summary};
use super::random::Random;
use super::sabotage::Sabotage;
use super::sim_coordinator::{CoordinatorTimer, SimCoordinator};
use super::sim_worker::{SimWorker, WorkerTimer};
use super::workload::Client;
use crate::invariants::Invariant;

pub(super) enum Happening {
    Deliver {
        pipe: PipeId,
        to: Place,
        message: Message,
    },
    /// One end of a pipe hears that it is broken or closed.
    Broken {
        pipe: PipeId,
        at: Place,
    },
    Worker {
        index: usize,
        life: u64,
        timer: WorkerTimer,
    },
    Coordinator {
        index: usize,
        life: u64,
        timer: CoordinatorTimer,
    },
    /// An entry that a leader proposed reaches a majority.
    Commit {
        by: usize,
        life: u64,
        change: Change,
    },
    Elect,
    Arrive {
        client: usize,
    },
    Leave {
        client: usize,
    },
    Fault(Fault),
    Restart(Place),
}

#[derive(Clone, Debug)]
pub(super) enum Message {
    ToCoordinator(WorkerMessage),
    ToWorker(CoordinatorMessage),
    Hello { key: ShardKey, edge: Edge },
    Answer { key: ShardKey, edge: Edge, answer: Answer },
    Step { key: ShardKey, batch: StepBatch, stage_micros: Vec<u32> },
    Result { key: ShardKey, result: StepResult },
    Generate { key: ShardKey, request: Box<GenerateRequest> },
    Generated { key: ShardKey, event: GenerateEvent },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ok,
    NotYet,
    Stale,
}

pub(super) struct Cluster {
    pub(super) agenda: Agenda<Happening>,
    pub(super) network: Network,
    pub(super) random: Random,
    pub(super) workers: Vec<SimWorker>,
    pub(super) coordinators: Vec<SimCoordinator>,
    /// What the log holds, applied.
    pub(super) state: Arc<State>,
    pub(super) leader: Option<usize>,
    pub(super) clients: Vec<Client>,
    pub(super) fates: Vec<Fate>,
    pub(super) invariants: Vec<Box<dyn Invariant>>,
    pub(super) sabotage: Sabotage,
    pub(super) violation: Option<String>,
    pub(super) summary: Summary,
}

impl Cluster {
    /// Plays until `end`, or until an invariant is broken.
    pub(super) fn play(&mut self, end: Duration) -> Result<(), String> {
        while let Some(what) = self.agenda.next() {
            self.happen(what);
            if let Some(violation) = self.violation.take() {
                return Err(format!("after {:?}: {violation}", self.agenda.now()));
            }
            if self.agenda.now() >= end {
                break;
            }
        }
        Ok(())
    }

    /// Asks every invariant what it thinks of the state now.
    pub(super) fn check_end(&self) -> Result<(), String> {
        let heads = self.workers.iter().flat_map(|worker| worker.running.values());
        let loads = heads.filter_map(|running| running.head.as_ref());
        let end = End {
            now: self.agenda.now(),
            fates: self.fates.clone(),
            loads: loads.map(|head| head.scheduler.load()).collect(),
        };
        for invariant in &self.invariants {
            let name = invariant.name();
            invariant.at_end(&end).map_err(|why| format!("at the end: {name}: {why}"))?;
        }
        Ok(())
    }

    fn happen(&mut self, what: Happening) {
        if let Some(until) = self.frozen(&what) {
            return self.agenda.at(until, what);
        }
        match what {
            Happening::Deliver { pipe, to, message } => {
                if self.network.listens(pipe, to) {
                    self.deliver(pipe, to, message);
                }
            }
            Happening::Broken { pipe, at } => {
                if self.network.listens(pipe, at) {
                    self.close(pipe, at);
                    match at {
                        Place::Worker(index) => self.worker_broken(index, pipe),
                        Place::Coordinator(index) => self.coordinator_broken(index, pipe),
                    }
                }
            }
            Happening::Worker { index, life, timer } => {
                if self.workers[index].up && self.workers[index].life == life {
                    self.worker_timer(index, timer);
                }
            }
            Happening::Coordinator { index, life, timer } => {
                if self.coordinators[index].up && self.coordinators[index].life == life {
                    self.coordinator_timer(index, timer);
                }
            }
            Happening::Commit { by, life, change } => self.commit(by, life, change),
            Happening::Elect => self.elect(),
            Happening::Arrive { client } => self.arrive(client),
            Happening::Leave { client } => self.leave(client),
            Happening::Fault(fault) => self.fault(fault),
            Happening::Restart(Place::Worker(index)) => self.start_worker(index),
            Happening::Restart(Place::Coordinator(index)) => self.start_coordinator(index),
        }
    }

    fn deliver(&mut self, pipe: PipeId, to: Place, message: Message) {
        match (to, message) {
            (Place::Coordinator(index), Message::ToCoordinator(message)) => {
                self.coordinator_hears(index, pipe, message);
            }
            (Place::Coordinator(index), Message::Generated { key, event }) => {
                self.gateway_hears(index, pipe, key, event);
            }
            (Place::Worker(index), message) => self.worker_hears(index, pipe, message),
            (Place::Coordinator(_), _) => {}
        }
    }

    /// A worker that stands still does and hears nothing; all of it happens afterwards.
    fn frozen(&self, what: &Happening) -> Option<Duration> {
        let (Happening::Deliver { to: Place::Worker(index), .. }
        | Happening::Broken { at: Place::Worker(index), .. }
        | Happening::Worker { index, .. }) = what
        else {
            return None;
        };
        let until = self.workers[*index].frozen_until;
        (until > self.agenda.now()).then_some(until)
    }

    pub(super) fn send(&mut self, pipe: PipeId, from: Place, message: Message) {
        if let Some((to, at)) = self.network.send(pipe, from, self.agenda.now()) {
            self.agenda.at(at, Happening::Deliver { pipe, to, message });
        }
    }

    pub(super) fn close(&mut self, pipe: PipeId, by: Place) {
        if let Some((at, when)) = self.network.close(pipe, by, self.agenda.now()) {
            self.agenda.at(when, Happening::Broken { pipe, at });
        }
    }

    /// A new pipe, if the other end is there and reachable.
    pub(super) fn open(&mut self, from: Place, to: Place) -> Option<PipeId> {
        let up = match to {
            Place::Worker(index) => self.workers[index].up,
            Place::Coordinator(index) => self.coordinators[index].up,
        };
        if up { self.network.open(from, to, self.agenda.now()) } else { None }
    }

    pub(super) fn observe(&mut self, observation: &Observation<'_>) {
        self.summary.note(observation);
        for invariant in &mut self.invariants {
            if let Err(why) = invariant.observe(observation) {
                let name = invariant.name();
                self.violation.get_or_insert_with(|| format!("{name}: {why}"));
            }
        }
    }

    fn commit(&mut self, by: usize, life: u64, change: Change) {
        let leads = self.leader == Some(by) && self.coordinators[by].life == life;
        // What a leader proposed before it died may or may not have reached a majority.
        if !leads && self.random.percent(50) {
            return;
        }
        let mut state = (*self.state).clone();
        let index = state.applied + 1;
        if let Change::PlacePlan { plan, .. } = &change {
            let nodes = plan.ranks().map(|(_, _, rank)| worker_of(rank.node)).collect();
            self.summary.plans.push((self.agenda.now(), nodes));
        }
        state.apply(super::setting::command(self.agenda.now(), change), index);
        self.state = Arc::new(state);
        for index in 0..self.coordinators.len() {
            let (life, state) = (self.coordinators[index].life, Arc::clone(&self.state));
            let timer = CoordinatorTimer::Applied(state);
            let delay = self.random.millis(1, 20);
            self.agenda.after(delay, Happening::Coordinator { index, life, timer });
        }
    }

    fn elect(&mut self) {
        if self.leader.is_some() {
            return;
        }
        let Some(index) = self.coordinators.iter().position(|c| c.up) else {
            return self.agenda.after(Duration::from_millis(500), Happening::Elect);
        };
        self.leader = Some(index);
        self.adopt_state(index, Arc::clone(&self.state));
        self.reconcile(index, reconcile::Event::BecameLeader);
    }
}

/// The node id of a worker.
pub(super) fn node_id(index: usize) -> NodeId {
    NodeId([index as u8 + 1; 32])
}

pub(super) fn worker_of(node: NodeId) -> usize {
    usize::from(node.0[0]) - 1
}
