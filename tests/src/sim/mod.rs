//! A seeded simulation of a whole cluster: the real scheduler, shard lifecycle, reconciler, state
//! and request life under a virtual clock, a hostile network and dying processes.
//!
//! First a phase with faults, then one without, in which every request must end.

mod clock;
mod cluster;
mod fake_stage;
mod faults;
pub mod group;
mod havoc;
mod network;
mod observation;
mod random;
mod sabotage;
mod setting;
mod sim_coordinator;
mod sim_edges;
mod sim_gateway;
mod sim_pipeline;
mod sim_worker;
mod workload;

use std::sync::Arc;
use std::time::Duration;

pub use faults::Fault;
pub use network::Place;
pub use observation::{End, Fate, Observation, SchedulerName, Summary};
pub use sabotage::Sabotage;
pub use workload::Client;

use clock::Agenda;
use cluster::{Cluster, Happening};
use network::Network;
use random::Random;
use setting::CONTEXT_LENGTH;
use sim_coordinator::SimCoordinator;
use sim_worker::SimWorker;

use crate::invariants;

const WORKERS: usize = 4;
const COORDINATORS: usize = 2;
/// Faults begin when the cluster serves, and are all over at `HEALED`.
const FAULTS_FROM: Duration = Duration::from_secs(3);
const HEALED: Duration = Duration::from_secs(18);
/// Clients that come from now on must get whole answers, if need be after a node's last back-off.
const SETTLED: Duration = Duration::from_secs(32);
/// Every request must have ended: the longest waits of the gateway after `HEALED`, and its own
/// resubmissions.
const END: Duration = Duration::from_secs(260);

/// Plays one seed; the error says which invariant was broken, when and how.
pub fn run(seed: u64, sabotage: Sabotage) -> Result<Summary, String> {
    let mut random = Random::new(seed);
    let clients = clients(&mut random);
    let faults = faults::schedule(&mut random, WORKERS, COORDINATORS, FAULTS_FROM, HEALED);
    play(&mut cluster(random, clients, &faults, sabotage))
}

/// Plays one fault alone, under a steady load; for the times that are promised.
pub fn run_one_fault(seed: u64, at: Duration, fault: Fault) -> Result<Summary, String> {
    let mut random = Random::new(seed);
    let (start, length) = (Duration::from_secs(1), CONTEXT_LENGTH);
    let clients = workload::clients(&mut random, 40, start, HEALED, length, false);
    play(&mut cluster(random, clients, &[(at, fault)], Sabotage::None))
}

fn cluster(
    mut random: Random,
    clients: Vec<Client>,
    faults: &[(Duration, Fault)],
    sabotage: Sabotage,
) -> Cluster {
    let mut cluster = Cluster {
        agenda: Agenda::default(),
        network: Network::new(Random::new(random.draw())),
        random,
        workers: (0..WORKERS).map(|index| SimWorker::new(index, COORDINATORS)).collect(),
        coordinators: (0..COORDINATORS).map(|_| SimCoordinator::new()).collect(),
        state: Arc::new(setting::state(WORKERS)),
        leader: None,
        fates: vec![Fate::Running; clients.len()],
        invariants: invariants::all(&clients),
        clients,
        sabotage,
        violation: None,
        summary: Summary::default(),
    };
    for (index, client) in cluster.clients.iter().enumerate() {
        cluster.agenda.at(client.arrives, Happening::Arrive { client: index });
        if let Some(leaves) = client.leaves {
            cluster.agenda.at(leaves, Happening::Leave { client: index });
        }
    }
    for (at, fault) in faults {
        cluster.agenda.at(*at, Happening::Fault(*fault));
    }
    let coordinators = (0..COORDINATORS).map(Place::Coordinator);
    for place in coordinators.chain((0..WORKERS).map(Place::Worker)) {
        cluster.agenda.at(Duration::ZERO, Happening::Restart(place));
    }
    cluster.agenda.at(Duration::from_millis(1), Happening::Elect);
    cluster
}

fn clients(random: &mut Random) -> Vec<Client> {
    let start = Duration::from_secs(1);
    let few = random.between(5, 20) as usize;
    let mut clients = workload::clients(random, few, start, HEALED, CONTEXT_LENGTH, false);
    // A crowd: more than run at once, so that they queue and take each other's blocks.
    let crowd = random.between(5, 25) as usize;
    let at = FAULTS_FROM + random.millis(0, 10_000);
    let until = at + Duration::from_millis(500);
    clients.extend(workload::clients(random, crowd, at, until, CONTEXT_LENGTH, false));
    let late = SETTLED + Duration::from_secs(2);
    clients.extend(workload::clients(random, 8, SETTLED, late, CONTEXT_LENGTH, true));
    clients
}

fn play(cluster: &mut Cluster) -> Result<Summary, String> {
    cluster.play(HEALED)?;
    cluster.network.heal();
    let mut until = SETTLED + Duration::from_secs(3);
    while until < END {
        cluster.play(until)?;
        if cluster.fates.iter().all(|fate| *fate != Fate::Running) {
            break;
        }
        until += Duration::from_secs(2);
    }
    // The heads hear of the last cancels.
    cluster.play(until + Duration::from_secs(1))?;
    cluster.check_end()?;
    Ok(cluster.summary.clone())
}
