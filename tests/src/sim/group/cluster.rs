//! The simulated group: what is real runs in the executor, the rest on one agenda.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coordinator::state::State;
use coordinator::testing::Answer;
use protocol::control::{CoordinatorMessage, WorkerMessage};
use worker::shard::ShardKey;

use super::super::clock::Agenda;
use super::super::network::{Network, PipeId, Place};
use super::super::random::Random;
use super::coordinators::SimCoordinator;
use super::executor::Executor;
use super::faults::Fault;
use super::nodes::coordinator_id;
use super::observation::{Observation, Summary};
use super::output::Output;
use super::requests::Request;
use super::sabotage::Sabotage;
use super::trace::Trace;
use super::wire::Exchange;
use super::workers::SimWorker;
use crate::invariants::group::Invariant;

pub(super) enum Happening {
    /// A call reaches a coordinator, its answer the caller.
    Deliver {
        exchange: u64,
    },
    Return {
        exchange: u64,
        answer: Box<Result<Answer, String>>,
    },
    /// A message of a control stream arrives.
    Message {
        pipe: PipeId,
        to: Place,
        message: Message,
    },
    Broken {
        pipe: PipeId,
        at: Place,
    },
    Coordinator {
        index: usize,
        life: u64,
    },
    Worker {
        index: usize,
        life: u64,
        timer: WorkerTimer,
    },
    Ask {
        request: usize,
    },
    Fault(Fault),
    Restart(Place),
}

#[derive(Clone)]
pub(super) enum Message {
    ToCoordinator(WorkerMessage),
    ToWorker(CoordinatorMessage),
}

#[derive(Clone, Copy)]
pub(super) enum WorkerTimer {
    Heartbeat,
    Dial { coordinator: usize },
    Fetched(ShardKey),
    Loaded(ShardKey),
    Connected(ShardKey),
}

pub(super) struct Group {
    pub(super) agenda: Agenda<Happening>,
    pub(super) network: Network,
    pub(super) random: Random,
    pub(super) executor: Rc<Executor>,
    pub(super) outputs: Arc<Mutex<VecDeque<Output>>>,
    pub(super) coordinators: Vec<SimCoordinator>,
    pub(super) workers: Vec<SimWorker>,
    pub(super) requests: Vec<Request>,
    pub(super) exchanges: BTreeMap<u64, Exchange>,
    pub(super) exchanged: u64,
    /// Calls may come twice.
    pub(super) hostile: bool,
    /// Percent of calls and answers that are lost.
    pub(super) loss: u32,
    pub(super) deploys: bool,
    /// Of Raft; elections take four to eight of them.
    pub(super) heartbeat: Duration,
    pub(super) founded: bool,
    pub(super) sabotage: Sabotage,
    pub(super) invariants: Vec<Box<dyn Invariant>>,
    pub(super) violation: Option<String>,
    pub(super) trace: Trace,
    pub(super) summary: Summary,
}

impl Group {
    /// Plays until `end`, or until an invariant is broken.
    pub(super) fn play(&mut self, end: Duration) -> Result<(), String> {
        loop {
            self.settle();
            if let Some(violation) = self.violation.take() {
                return Err(format!("after {:?}: {violation}", self.agenda.now()));
            }
            let (due, timer) = (self.agenda.due(), self.executor.next_timer());
            let next = due.into_iter().chain(timer).min().unwrap_or(end);
            if next > end {
                self.agenda.pass(end);
                return Ok(());
            }
            self.agenda.pass(next);
            if due == Some(next)
                && let Some(what) = self.agenda.next()
            {
                self.happen(what);
            }
        }
    }

    /// Lets the coordinators do all they can do now.
    fn settle(&mut self) {
        loop {
            self.executor.run(self.agenda.now());
            self.crash_on_torn_writes();
            self.look_at_states();
            let outputs = std::mem::take(&mut *self.lock_outputs());
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                self.take(output);
            }
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Called { from, to, call, caller } => self.called(from, to, call, caller),
            Output::Answered { exchange, answer } => self.answer_call(exchange, answer),
            Output::Started { index, life, started } => self.started(index, life, started),
            Output::CaughtUp { index, life, term, yes } => self.caught_up(index, life, term, yes),
            Output::Tended { index, life } => self.tended(index, life),
            Output::Proposed { index, life } => self.proposed(index, life),
            Output::Told { request, attempt, told } => self.told(request, attempt, told),
            Output::Founded(Ok(())) => self.founded = true,
            Output::Founded(Err(error)) => self.break_off(format!("not founded: {error}")),
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Deliver { exchange } => self.deliver_call(exchange),
            Happening::Return { exchange, answer } => self.return_answer(exchange, *answer),
            Happening::Message { pipe, to, message } => {
                if self.network.listens(pipe, to) {
                    self.hear(pipe, to, message);
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
            Happening::Coordinator { index, life } => {
                if self.coordinators[index].up && self.coordinators[index].life == life {
                    self.coordinator_tick(index);
                }
            }
            Happening::Worker { index, life, timer } => {
                if self.workers[index].up && self.workers[index].life == life {
                    self.worker_timer(index, timer);
                }
            }
            Happening::Ask { request } => self.ask(request),
            Happening::Fault(fault) => self.fault(fault),
            Happening::Restart(Place::Worker(index)) => self.start_worker(index),
            Happening::Restart(Place::Coordinator(index)) => self.start_coordinator(index),
        }
    }

    fn hear(&mut self, pipe: PipeId, to: Place, message: Message) {
        match (to, message) {
            (Place::Coordinator(index), Message::ToCoordinator(message)) => {
                self.coordinator_hears(index, pipe, message);
            }
            (Place::Worker(index), Message::ToWorker(message)) => {
                self.worker_hears(index, pipe, message);
            }
            _ => {}
        }
    }

    pub(super) fn send(&mut self, pipe: PipeId, from: Place, message: Message) {
        if let Some((to, at)) = self.network.send(pipe, from, self.agenda.now()) {
            self.agenda.at(at, Happening::Message { pipe, to, message });
        }
    }

    pub(super) fn close(&mut self, pipe: PipeId, by: Place) {
        if let Some((at, when)) = self.network.close(pipe, by, self.agenda.now()) {
            self.agenda.at(when, Happening::Broken { pipe, at });
        }
    }

    pub(super) fn observe(&mut self, observation: &Observation<'_>) {
        for invariant in &mut self.invariants {
            if let Err(why) = invariant.observe(observation) {
                let name = invariant.name();
                self.violation.get_or_insert_with(|| format!("{name}: {why}"));
            }
        }
    }

    pub(super) fn break_off(&mut self, why: String) {
        self.violation.get_or_insert(why);
    }

    /// Asks every invariant what it thinks at the end.
    pub(super) fn check_end(&mut self) -> Result<(), String> {
        let waiting = self.waiting();
        let states = self.states();
        let now = self.agenda.now();
        self.observe(&Observation::End { now, waiting: &waiting, states: &states });
        if let Some(why) = self.violation.take() {
            return Err(format!("at the end: {why}"));
        }
        self.summary.hash = self.trace.hash();
        self.summary.lines = self.trace.lines();
        Ok(())
    }

    /// Whether a leader serves, and all have applied what it has.
    pub(super) fn agrees(&self) -> bool {
        let states = self.states();
        let first = states.first().map(|(_, state)| state.applied);
        let leads = |(index, _): &(usize, Arc<State>)| self.coordinators[*index].leads();
        self.founded
            && states.iter().any(leads)
            && states.iter().all(|(_, state)| Some(state.applied) == first)
    }

    /// Of the coordinators that the newest state knows.
    fn states(&self) -> Vec<(usize, Arc<State>)> {
        let newest = self.coordinators.iter().map(|c| &c.state).max_by_key(|state| state.applied);
        let Some(newest) = newest else { return Vec::new() };
        let stays = |index: &usize| !newest.removed.contains(&coordinator_id(*index));
        let stay = (0..self.coordinators.len()).filter(stays);
        stay.map(|index| (index, Arc::clone(&self.coordinators[index].state))).collect()
    }

    pub(super) fn lock_outputs(&self) -> std::sync::MutexGuard<'_, VecDeque<Output>> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on a coordinator; what comes of it is taken when it is there.
    pub(super) fn run_on(&self, index: usize, work: impl Future<Output = Output> + Send + 'static) {
        let outputs = Arc::clone(&self.outputs);
        let task = async move {
            let output = work.await;
            outputs.lock().unwrap_or_else(PoisonError::into_inner).push_back(output);
        };
        self.executor.spawn(index, Box::pin(task));
    }
}
