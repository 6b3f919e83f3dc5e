//! Admin writes: each is asked of one coordinator after another until it is told how it ended.

use std::time::Duration;

use coordinator::raft::ProposeError;
use coordinator::state::{Actor, Change, Outcome};
use protocol::admin::KeyRole;
use protocol::control::{CoordinatorEndpoint, LOG_LEVEL, Role};
use protocol::ids::Digest;

use super::super::random::Random;
use super::super::setting;
use super::cluster::{Group, Happening};
use super::nodes::{coordinator_id, worker_id};
use super::observation::Observation;
use super::output::Output;

pub(super) struct Request {
    /// The same however often it is sent.
    pub(super) id: String,
    pub(super) at: Duration,
    pub(super) change: Change,
    state: Asked,
    attempt: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    NotYet,
    /// Of this coordinator.
    Of(usize),
    Ended,
}

impl Request {
    pub(super) fn new(number: usize, at: Duration, change: Change) -> Self {
        Self { id: format!("request-{number}"), at, change, state: Asked::NotYet, attempt: 0 }
    }
}

/// New keys at random times, and a node that leaves or joins now and then.
pub(super) fn schedule(
    random: &mut Random,
    (from, to): (Duration, Duration),
    nodes: (usize, usize),
) -> Vec<Request> {
    let span = (to - from).as_millis() as u32;
    let count = random.between(15, 40) as usize;
    let mut requests: Vec<Request> = (0..count)
        .map(|number| Request::new(number, from + random.millis(0, span), key(number)))
        .collect();
    let (coordinators, workers) = nodes;
    if random.percent(30) {
        let node = worker_id(random.below(workers));
        let operation = "remove-worker".to_owned();
        let change = Change::RemoveNode { node, operation };
        requests.push(Request::new(count, from + random.millis(0, span), change));
    }
    if random.percent(15) {
        let node = coordinator_id(random.below(coordinators));
        let operation = "remove-coordinator".to_owned();
        let change = Change::RemoveNode { node, operation };
        requests.push(Request::new(count + 1, from + random.millis(0, span), change));
    }
    requests
}

pub(super) fn key(number: usize) -> Change {
    Change::AddKey {
        name: format!("key-{number}"),
        role: KeyRole::User,
        hash: Digest::of(&number.to_le_bytes()),
        prefix: "tr".to_owned(),
    }
}

/// What makes a cluster of these nodes.
fn founding(coordinators: usize, workers: usize, deploys: bool) -> Vec<Change> {
    let cluster = Change::FoundCluster { name: "simulated".into(), ca_pem: String::new() };
    let admit = |node, name: String, role| {
        let endpoint = (role == Role::Coordinator).then(|| CoordinatorEndpoint {
            address: format!("{name}:7443"),
            api_address: format!("{name}:8443"),
            level: LOG_LEVEL,
            version: String::new(),
        });
        Change::AdmitNode { node, name, role, token: None, endpoint }
    };
    let mut changes = vec![cluster];
    for index in 0..coordinators {
        changes.push(admit(coordinator_id(index), format!("c{index}"), Role::Coordinator));
    }
    for index in 0..workers {
        changes.push(admit(worker_id(index), format!("worker-{index}"), Role::Worker));
    }
    if deploys {
        changes.extend([setting::import(worker_id(0)), setting::deploy()]);
    }
    changes
}

impl Group {
    /// The first coordinator founds the cluster and admits the others.
    pub(super) fn found(&mut self) {
        let Some(replica) = self.coordinators[0].replica.clone() else { return };
        let nodes = (self.coordinators.len(), self.workers.len());
        let changes = founding(nodes.0, nodes.1, self.deploys);
        self.run_on(0, async move {
            let consensus = replica.consensus();
            if let Err(error) = consensus.found().await {
                let reason = error.to_string();
                return Output::Founded(Err(ProposeError::Failed(reason)));
            }
            for change in changes {
                if let Err(error) = consensus.propose(change).await {
                    return Output::Founded(Err(error));
                }
            }
            Output::Founded(Ok(()))
        });
    }

    pub(super) fn ask(&mut self, request: usize) {
        let up: Vec<usize> = (self.coordinators.iter().enumerate())
            .filter(|(_, coordinator)| coordinator.replica.is_some() && !coordinator.removed)
            .map(|(index, _)| index)
            .collect();
        if up.is_empty() || !self.founded {
            return self.ask_again(request, Duration::from_millis(100));
        }
        let index = up[self.random.below(up.len())];
        let Some(replica) = self.coordinators[index].replica.clone() else { return };
        let asked = &mut self.requests[request];
        asked.state = Asked::Of(index);
        asked.attempt += 1;
        let (attempt, id, change) = (asked.attempt, asked.id.clone(), asked.change.clone());
        let name = change.name();
        self.trace.note(self.agenda.now(), || format!("request {request} asks c{index}: {name}"));
        self.run_on(index, async move {
            let told = replica.consensus().propose_by(Actor::System, Some(id), change).await;
            Output::Told { request, attempt, told }
        });
    }

    pub(super) fn told(
        &mut self,
        request: usize,
        attempt: u32,
        told: Result<Outcome, ProposeError>,
    ) {
        let now = self.agenda.now();
        let asked = &mut self.requests[request];
        if asked.attempt != attempt || asked.state == Asked::Ended {
            return;
        }
        let outcome = match told {
            Ok(outcome) => outcome,
            Err(ProposeError::Refused(refusal)) => Outcome::Refused(refusal),
            Err(error) => {
                self.trace.note(now, || format!("request {request} is not done: {error}"));
                return self.ask_again(request, Duration::from_millis(100));
            }
        };
        asked.state = Asked::Ended;
        let (id, change, since) = (asked.id.clone(), asked.change.clone(), asked.at);
        self.trace.note(now, || format!("request {request} is told: {outcome}"));
        self.summary.acknowledged += 1;
        self.summary.slowest = self.summary.slowest.max(now - since);
        let (request, change, outcome) = (&*id, &change, &outcome);
        self.observe(&Observation::Acknowledged { request, change, outcome });
    }

    /// Who asked a coordinator that died sees the connection reset.
    pub(super) fn ask_again_elsewhere(&mut self, dead: usize) {
        for request in 0..self.requests.len() {
            if self.requests[request].state == Asked::Of(dead) {
                self.ask_again(request, Duration::from_millis(20));
            }
        }
    }

    fn ask_again(&mut self, request: usize, after: Duration) {
        self.requests[request].state = Asked::NotYet;
        self.summary.retried += 1;
        self.agenda.after(after, Happening::Ask { request });
    }

    /// The requests that nobody has answered.
    pub(super) fn waiting(&self) -> Vec<String> {
        let waiting = self.requests.iter().filter(|request| request.state != Asked::Ended);
        waiting.map(|request| request.id.clone()).collect()
    }
}
