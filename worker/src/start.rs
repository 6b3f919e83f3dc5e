//! Puts a worker together from its configuration and runs it to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::{PackedCache, Place};
use protocol::control::{CoordinatorAddress, Registration};
use protocol::identity::{Identity, IdentityStore};
use protocol::ids::NodeId;
use protocol::node_profile::{DeviceProfile, NodeProfile};
use protocol::transport::{DirectListener, NodeTls, QuicEndpoint, QuicSettings};
use sysinfo::Networks;
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::control_link::{Answering, ControlLink, Snapshot};
use crate::data_plane::{self, PeerPool, Services};
use crate::device::Device;
use crate::driver::{Driver, OUTCOMES_MAX, Parts};
use crate::error::WorkerError;
use crate::identity_keeper::OwnIdentity;
use crate::pipeline::{PipelineContext, Registry, lower_priority};
use crate::probe::Probed;
use crate::weight_store::WeightStore;
use crate::{metrics, probe};

/// Peers hear of the end of their connections within this time, or notice by themselves.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How a worker is told to stop; each is more urgent than the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stopping {
    #[default]
    No,
    /// Once others have taken over what runs here, if they can.
    Leave,
    /// Once what runs here has ended, or its time is over.
    Drain,
    Now,
}

/// Runs a worker that has joined a cluster until it was told to stop and has.
pub async fn run(config: Config, stopping: watch::Receiver<Stopping>) -> Result<(), WorkerError> {
    engine::give_back_large_blocks();
    Worker::start(config).await?.run(stopping).await
}

/// A worker whose socket is bound and that serves its peers.
pub struct Worker {
    node: NodeId,
    address: SocketAddr,
    endpoint: QuicEndpoint,
    driver: Driver,
}

impl Worker {
    pub async fn start(config: Config) -> Result<Self, WorkerError> {
        config.check()?;
        let own = OwnIdentity::load(&config.data_dir)?;
        let coordinators = known_coordinators(&own.store, &config)?;
        let Probed { profile, places } = probe(&config).await?;
        let devices = devices(&config, &profile, places);
        compute_threads(config.threads);

        let endpoint = bind(&config, own.tls.clone())?;
        let address = endpoint.local_address().map_err(|e| cannot_listen(&config, &e))?;
        let store = WeightStore::open(&config.data_dir.join("weights"))?;
        let store = Arc::new(store);
        let packed = packed_cache(&config);
        let (services, dialled, context, outcomes) =
            plumbing(&config, &own.identity, &endpoint, &store);
        listen_directly(address, &own.tls, services.clone()).await;
        tokio::spawn(data_plane::serve(endpoint.clone(), dialled, services));
        if let Some(address) = config.metrics {
            metrics::serve(address).await?;
        }
        let registration = Registration {
            name: config.name.clone(),
            profile,
            data_addresses: advertised(&config, address),
            held_manifests: store.held_manifests(),
            shards: Vec::new(),
            instance: format!("{:032x}", rand::random::<u128>()),
            certificate: None,
            answers: true,
        };
        let peers = Arc::clone(&context.peers);
        let snapshot = Snapshot::new(registration.clone());
        let (certificate, certificates) = watch::channel(own.identity.certificate().ok());
        let (tls, timeouts) = (own.tls.clone(), &config.timeouts);
        let answering = Answering::new(&config);
        let link = ControlLink::start(
            tls,
            peers,
            timeouts,
            coordinators,
            snapshot,
            certificates,
            answering,
        )?;
        let (identity, peers) = (own.store.clone(), Arc::clone(&context.peers));
        let trust = own.keep(link.coordinators(), peers, certificate, timeouts.dial);
        tokio::spawn(data_plane::keep_connected(
            Arc::clone(&context.peers),
            link.coordinators(),
            link.attached(),
            config.timeouts.reconnect_max,
        ));
        tracing::info!(node = %context.own.short(), %address, "worker started");
        let node = context.own;
        let parts = Parts {
            config,
            identity,
            context,
            store,
            devices,
            packed,
            link,
            trust,
            registration,
            outcomes,
        };
        Ok(Self { node, address, endpoint, driver: Driver::new(parts) })
    }

    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Where this worker listens for QUIC.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until it is told to stop, then refuses what is new and lets what runs end in time.
    pub async fn run(self, stopping: watch::Receiver<Stopping>) -> Result<(), WorkerError> {
        let ended = self.driver.run(stopping).await;
        self.endpoint.close("the worker shuts down");
        // Peers that did not hear it notice by silence.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.endpoint.wait_idle()).await;
        ended
    }
}

type Plumbing = (
    Services,
    mpsc::Receiver<quinn::Connection>,
    PipelineContext,
    mpsc::Receiver<crate::driver::Outcome>,
);

fn plumbing(
    config: &Config,
    identity: &Identity,
    endpoint: &QuicEndpoint,
    store: &Arc<WeightStore>,
) -> Plumbing {
    let own = identity.peer.node;
    let (dialled_sender, dialled) = data_plane::dialled_queue();
    let peers = Arc::new(PeerPool::new(own, endpoint.clone(), dialled_sender));
    let registry = Arc::new(Registry::default());
    let (outcome_sender, outcomes) = mpsc::channel(OUTCOMES_MAX);
    let services = Services {
        peers: Arc::clone(&peers),
        registry: Arc::clone(&registry),
        store: Arc::clone(store),
    };
    let timeouts = config.timeouts;
    let context = PipelineContext { own, peers, registry, outcomes: outcome_sender, timeouts };
    (services, dialled, context, outcomes)
}

/// The list on disk, kept current while attached, wins over the one from joining.
fn known_coordinators(
    store: &IdentityStore,
    config: &Config,
) -> Result<Vec<CoordinatorAddress>, WorkerError> {
    let kept = store.coordinators().map_err(identity_error)?;
    let known = if kept.is_empty() { config.coordinators.clone() } else { kept };
    if known.is_empty() { Err(WorkerError::NoCoordinator) } else { Ok(known) }
}

async fn probe(config: &Config) -> Result<Probed, WorkerError> {
    let config = config.clone();
    let probing = tokio::task::spawn_blocking(move || probe::probe(&config));
    probing.await.map_err(|e| WorkerError::Thread(std::io::Error::other(e)))?
}

fn devices(config: &Config, profile: &NodeProfile, places: Vec<Option<Place>>) -> Vec<Arc<Device>> {
    let ledger = |(device, place): (&DeviceProfile, Option<Place>)| {
        let name = match place {
            Some(_) => format!("{} ({})", device.label(), device.name),
            None => device.label(),
        };
        // In the host's memory, what is called free changes with files that are read.
        let tells_free = device.gpu.as_ref().is_some_and(|gpu| !gpu.unified_memory);
        let usable_bytes = device.memory_usable_bytes;
        Device::new(config.name.clone(), name, usable_bytes, place, tells_free)
    };
    profile.devices.iter().zip(places).map(ledger).collect()
}

/// Weights are packed each time where the folder cannot be used.
fn packed_cache(config: &Config) -> Option<PackedCache> {
    let limit = Some(config.packed_cache_bytes).filter(|limit| *limit > 0)?;
    let opened = PackedCache::open(&config.data_dir.join("packed"), limit);
    opened.inspect_err(|error| tracing::warn!(%error, "packed weights are not kept")).ok()
}

/// The engine computes on the process's one pool, below the threads that detect failures.
fn compute_threads(threads: usize) {
    if !engine::Compute::configure(engine::KernelSet::best(), threads, lower_priority) {
        tracing::debug!("the compute pool of this process is in use already");
    }
}

fn bind(config: &Config, tls: NodeTls) -> Result<QuicEndpoint, WorkerError> {
    let settings = QuicSettings { dial_timeout: config.timeouts.dial, ..QuicSettings::default() };
    QuicEndpoint::bind(config.listen, tls, settings).map_err(|e| cannot_listen(config, &e))
}

/// Ranks of a group dial the port of QUIC on TCP; where that is taken they use QUIC.
async fn listen_directly(address: SocketAddr, tls: &NodeTls, services: Services) {
    match DirectListener::bind(address, tls).await {
        Ok(listener) => drop(tokio::spawn(data_plane::serve_direct(listener, services))),
        Err(error) => tracing::warn!(%address, %error, "no direct sockets"),
    }
}

/// What the operator says, or every address of this machine that others could reach.
fn advertised(config: &Config, bound: SocketAddr) -> Vec<String> {
    if !config.advertise.is_empty() {
        return config.advertise.clone();
    }
    if !bound.ip().is_unspecified() {
        return vec![bound.to_string()];
    }
    let networks = Networks::new_with_refreshed_list();
    let mut addresses: Vec<_> = networks
        .iter()
        .flat_map(|networks| networks.values())
        .flat_map(|network| network.ip_networks().iter().map(|ip| ip.addr))
        .filter(|ip| !ip.is_loopback() && (bound.is_ipv6() || ip.is_ipv4()))
        .collect();
    // IPv4 first: link-local IPv6 addresses need a scope that does not travel.
    addresses.sort_unstable();
    addresses.retain(|ip| !matches!(ip, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local()));
    if addresses.is_empty() {
        addresses.push(std::net::Ipv4Addr::LOCALHOST.into());
    }
    addresses.iter().map(|ip| SocketAddr::new(*ip, bound.port()).to_string()).collect()
}

fn cannot_listen(config: &Config, error: &dyn std::fmt::Display) -> WorkerError {
    WorkerError::CannotListen { address: config.listen, reason: error.to_string() }
}

fn identity_error(error: protocol::identity::IdentityError) -> WorkerError {
    WorkerError::Identity(error.to_string())
}
