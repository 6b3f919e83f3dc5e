//! A seeded simulation of the control plane: three or five coordinators with the real consensus,
//! log, state and reconciler, on disks that lose what was not synced, clocks that differ and a
//! network that delays, loses, repeats and cuts; workers and clients around them.
//!
//! First a phase with faults, then one without, in which everything must come to an end.

mod cluster;
mod coordinators;
mod disk;
mod executor;
mod faults;
mod nodes;
mod observation;
mod output;
mod requests;
mod sabotage;
mod scale;
mod trace;
mod wire;
mod workers;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use faults::Fault;
pub use observation::{Observation, Summary};
pub use sabotage::Sabotage;
pub(crate) use sabotage::snapshot_content;
pub use scale::{Scale, at_scale};

use cluster::{Group, Happening};
use coordinators::SimCoordinator;
use disk::Disk;
use executor::{Executor, Host};
use requests::Request;
use trace::Trace;
use workers::SimWorker;

use super::clock::Agenda;
use super::network::{Network, Place};
use super::random::Random;
use crate::invariants;

const WORKERS: usize = 3;
/// Twice the product's: Raft's own messages are most of what a simulated second costs.
const SLOW_HEARTBEAT: Duration = Duration::from_millis(200);
const FAST_HEARTBEAT: Duration = Duration::from_millis(50);
/// Faults begin when the group stands, and are all over at `HEALED`.
const FAULTS: (Duration, Duration) = (Duration::from_millis(800), HEALED);
const HEALED: Duration = Duration::from_secs(4);
/// By now a leader serves, every request has ended and all hold the same.
const END: Duration = Duration::from_secs(20);
/// How often a group that heals is looked at: whether it is all over.
const PATIENCE: Duration = Duration::from_millis(400);

/// Plays one seed; the error says which invariant was broken, when and how, and the history so far
/// stands before it if `told`.
pub fn run(seed: u64, sabotage: Sabotage, told: bool) -> Result<Summary, String> {
    let mut random = Random::new(seed);
    let coordinators = if random.percent(25) { 5 } else { 3 };
    let nodes = (coordinators, WORKERS);
    let requests = requests::schedule(&mut random, (FAULTS.0, HEALED), nodes);
    // Among the ordinary faults, what shows these is rare: two candidates at once beside a restart,
    // a leader of before that workers still hear.
    let (faults, heartbeat) = match sabotage {
        Sabotage::EpochUnchecked => {
            (faults::old_leaders(&mut random, nodes, FAULTS), FAST_HEARTBEAT)
        }
        Sabotage::VoteForgotten => (faults::elections(&mut random, nodes, FAULTS), FAST_HEARTBEAT),
        _ => (faults::schedule(&mut random, nodes, FAULTS), SLOW_HEARTBEAT),
    };
    let plan = Plan { nodes, requests, faults, sabotage, heartbeat, deploys: true, told };
    plan.play(random, |group| {
        group.play(HEALED)?;
        group.heal();
        group.play_out()
    })
}

/// What a run is given.
struct Plan {
    /// Coordinators and workers.
    nodes: (usize, usize),
    requests: Vec<Request>,
    faults: Vec<(Duration, Fault)>,
    sabotage: Sabotage,
    heartbeat: Duration,
    /// Whether a model runs on the workers.
    deploys: bool,
    told: bool,
}

impl Plan {
    fn play(
        self,
        mut random: Random,
        script: impl FnOnce(&mut Group) -> Result<(), String>,
    ) -> Result<Summary, String> {
        let (coordinators, workers) = self.nodes;
        let hosts = (0..coordinators).map(|_| Host::new(&mut random)).collect();
        let (executor, _entered) = Executor::enter(Random::new(random.draw()), hosts);
        let mut group = Group {
            agenda: Agenda::default(),
            network: Network::new(Random::new(random.draw())),
            random,
            executor,
            outputs: Arc::new(Mutex::new(VecDeque::new())),
            coordinators: (0..coordinators).map(|_| SimCoordinator::new(Disk::default())).collect(),
            workers: (0..workers).map(|index| SimWorker::new(index, coordinators)).collect(),
            requests: self.requests,
            exchanges: BTreeMap::new(),
            exchanged: 0,
            hostile: true,
            loss: 0,
            deploys: self.deploys,
            heartbeat: self.heartbeat,
            founded: false,
            sabotage: self.sabotage,
            invariants: invariants::group::all(),
            violation: None,
            trace: Trace::new(self.told),
            summary: Summary::default(),
        };
        group.schedule(&self.faults);
        let played = script(&mut group).and_then(|()| group.check_end());
        let summary = std::mem::take(&mut group.summary);
        group.stop_all();
        played.map(|()| summary).map_err(|why| {
            let mut lines = group.trace.lines();
            lines.push(why);
            lines.join("\n")
        })
    }
}

impl Group {
    fn schedule(&mut self, faults: &[(Duration, Fault)]) {
        for (request, Request { at, .. }) in self.requests.iter().enumerate() {
            self.agenda.at(*at, Happening::Ask { request });
        }
        for (at, fault) in faults {
            self.agenda.at(*at, Happening::Fault(*fault));
        }
        let coordinators = (0..self.coordinators.len()).map(Place::Coordinator);
        for place in coordinators.chain((0..self.workers.len()).map(Place::Worker)) {
            self.agenda.at(Duration::ZERO, Happening::Restart(place));
        }
    }

    /// Plays until nobody waits for anything and all hold the same.
    fn play_out(&mut self) -> Result<(), String> {
        let mut until = HEALED + PATIENCE;
        loop {
            self.play(until)?;
            if until >= END || self.waiting().is_empty() && self.agrees() {
                return Ok(());
            }
            until += PATIENCE;
        }
    }

    /// Nothing of a run outlives it.
    fn stop_all(&mut self) {
        for index in 0..self.coordinators.len() {
            self.coordinators[index].disk.kill();
            self.coordinators[index].replica = None;
            self.executor.kill(index);
        }
        self.lock_outputs().clear();
    }
}
