//! Calls between coordinators over the hostile network: late, lost, twice, or after a way was cut.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use coordinator::testing::{Answer, Call, Future, Wire};
use futures::channel::oneshot;
use protocol::ids::NodeId;

use super::super::network::Place;
use super::cluster::{Group, Happening};
use super::nodes::{coordinator_id, coordinator_of};
use super::observation::Observation;
use super::output::Output;

/// One call on its way or being served.
pub(super) struct Exchange {
    pub(super) from: usize,
    pub(super) to: usize,
    call: Call,
    caller: Option<oneshot::Sender<Result<Answer, String>>>,
}

/// What coordinator `from` calls others with, in its present life.
pub(super) struct SimWire {
    pub(super) from: usize,
    pub(super) outputs: Arc<Mutex<VecDeque<Output>>>,
}

impl Wire for SimWire {
    fn call(&self, to: NodeId, call: Call) -> Future<Result<Answer, String>> {
        let (caller, answer) = oneshot::channel();
        let called = Output::Called { from: self.from, to, call, caller };
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).push_back(called);
        Box::pin(async move {
            match answer.await {
                Ok(answer) => answer,
                // Lost on the way.
                Err(_) => pending().await,
            }
        })
    }
}

impl Group {
    pub(super) fn called(
        &mut self,
        from: usize,
        to: NodeId,
        call: Call,
        caller: oneshot::Sender<Result<Answer, String>>,
    ) {
        let Some(to) = coordinator_of(to) else { return };
        self.exchanged += 1;
        let exchange = self.exchanged;
        let ends = (Place::Coordinator(from), Place::Coordinator(to));
        let caller = Some(caller);
        self.exchanges.insert(exchange, Exchange { from, to, call, caller });
        if self.is_lost(ends.0, ends.1) {
            return;
        }
        let delay = self.network.delay(ends.0, ends.1);
        self.agenda.after(delay, Happening::Deliver { exchange });
        if self.hostile && self.random.percent(2) {
            let again = delay + self.random.millis(0, 300);
            self.agenda.after(again, Happening::Deliver { exchange });
        }
    }

    pub(super) fn deliver_call(&mut self, exchange: u64) {
        let Some(Exchange { from, to, call, .. }) = self.exchanges.get(&exchange) else { return };
        let (from, to, call) = (*from, *to, call.clone());
        let target = &self.coordinators[to];
        if !target.up {
            if !target.dark {
                self.answer_call(exchange, Err("connection refused".to_owned()));
            }
            return;
        }
        let Some(replica) = target.replica.clone() else {
            return self.answer_call(exchange, Err("not listening yet".to_owned()));
        };
        self.trace
            .note(self.agenda.now(), || format!("c{to} is called by c{from}: {}", call.name()));
        let outputs = Arc::clone(&self.outputs);
        let answered = replica.answer(coordinator_id(from), call);
        let serve = async move {
            let answer = answered.await;
            let output = Output::Answered { exchange, answer };
            outputs.lock().unwrap_or_else(PoisonError::into_inner).push_back(output);
        };
        self.executor.spawn(to, Box::pin(serve));
    }

    /// The answer leaves the coordinator that was called.
    pub(super) fn answer_call(&mut self, exchange: u64, answer: Result<Answer, String>) {
        let Some(Exchange { from, to, call, .. }) = self.exchanges.get(&exchange) else { return };
        let (from, to) = (*from, *to);
        if let Ok(Some((term, candidate))) = answer.as_ref().map(|a| a.granted(call)) {
            self.trace.note(self.agenda.now(), || {
                format!("c{to} votes for {} in term {term}", candidate.short())
            });
            self.observe(&Observation::Granted { coordinator: to, term, candidate });
        }
        let ends = (Place::Coordinator(to), Place::Coordinator(from));
        if !self.is_lost(ends.0, ends.1) {
            let delay = self.network.delay(ends.0, ends.1);
            self.agenda.after(delay, Happening::Return { exchange, answer: Box::new(answer) });
        }
    }

    pub(super) fn return_answer(&mut self, exchange: u64, answer: Result<Answer, String>) {
        let caller = self.exchanges.get_mut(&exchange).and_then(|e| e.caller.take());
        if let Some(caller) = caller {
            // Who called may be gone.
            drop(caller.send(answer));
        }
    }

    /// Calls that nobody waits for any more.
    pub(super) fn forget_calls(&mut self) {
        let waits = |e: &Exchange| e.caller.as_ref().is_some_and(|caller| !caller.is_canceled());
        self.exchanges.retain(|_, exchange| waits(exchange));
    }

    fn is_lost(&mut self, from: Place, to: Place) -> bool {
        let lossy = self.loss;
        self.network.is_cut(from, to, self.agenda.now()) || self.random.percent(lossy)
    }
}
