//! The control streams: one gRPC session per coordinator, on a thread that compute cannot starve.

mod answering;
mod backoff;
mod session;
mod supervisor;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::control::{
    CommandProgress, CoordinatorAddress, CoordinatorMessage, Registration, WorkerMessage,
};
use protocol::identity::CertificateFacts;
use protocol::ids::NodeId;
use protocol::shard::{ReplicaLoad, ShardStatus};
use protocol::transport::NodeTls;
use tokio::sync::{broadcast, mpsc, watch};

use crate::config::Timeouts;
use crate::data_plane::PeerPool;
use crate::error::WorkerError;

pub(crate) use answering::Answering;
pub(crate) use backoff::Backoff;

/// Messages of all coordinators that wait for the driver.
const INBOUND_MAX: usize = 64;
/// Progress messages that wait for a slow session; older ones are dropped.
const OUTBOUND_MAX: usize = 256;
/// Ends of commands that a coordinator hears of when it comes back.
const ENDS_KEPT: usize = 16;

/// What heartbeats say; the driver keeps it current.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) registration: Registration,
    pub(crate) shards: Vec<ShardStatus>,
    pub(crate) loads: Vec<ReplicaLoad>,
    pub(crate) memory_used_bytes: u64,
    /// This process was told to stop.
    pub(crate) leaving: bool,
    /// Counts state changes that must not wait for the next heartbeat.
    pub(crate) urgent: u64,
}

impl Snapshot {
    /// Nothing held yet.
    pub(crate) fn new(registration: Registration) -> Self {
        let (shards, loads) = (vec![], vec![]);
        let (memory_used_bytes, leaving, urgent) = (0, false, 0);
        Self { registration, shards, loads, memory_used_bytes, leaving, urgent }
    }
}

/// A message and who sent it.
pub(crate) struct Inbound {
    pub(crate) from: NodeId,
    pub(crate) message: CoordinatorMessage,
}

/// What every session of the link shares.
#[derive(Clone)]
struct Shared {
    tls: NodeTls,
    peers: Arc<PeerPool>,
    dial_timeout: Duration,
    reconnect_max: Duration,
    snapshot: watch::Receiver<Snapshot>,
    inbound: mpsc::Sender<Inbound>,
    outbound: broadcast::Sender<WorkerMessage>,
    ends: Arc<Mutex<VecDeque<WorkerMessage>>>,
    certificate: watch::Receiver<Option<CertificateFacts>>,
    /// Sessions that a coordinator has welcomed.
    attached: Arc<watch::Sender<usize>>,
    answering: Answering,
}

/// The driver's end of all control streams. Dropping it ends them.
pub(crate) struct ControlLink {
    pub(crate) inbound: mpsc::Receiver<Inbound>,
    snapshot: watch::Sender<Snapshot>,
    coordinators: watch::Sender<Vec<CoordinatorAddress>>,
    attached: watch::Receiver<usize>,
    reporter: Reporter,
}

/// Sends progress of commands to every coordinator.
#[derive(Clone)]
pub(crate) struct Reporter {
    outbound: broadcast::Sender<WorkerMessage>,
    ends: Arc<Mutex<VecDeque<WorkerMessage>>>,
}

impl ControlLink {
    pub(crate) fn start(
        tls: NodeTls,
        peers: Arc<PeerPool>,
        timeouts: &Timeouts,
        coordinators: Vec<CoordinatorAddress>,
        snapshot: Snapshot,
        certificate: watch::Receiver<Option<CertificateFacts>>,
        answering: Answering,
    ) -> Result<Self, WorkerError> {
        let (inbound_sender, inbound) = mpsc::channel(INBOUND_MAX);
        let (outbound, _) = broadcast::channel(OUTBOUND_MAX);
        let (snapshot, snapshots) = watch::channel(snapshot);
        let (coordinators, lists) = watch::channel(coordinators);
        let (welcomed, attached) = watch::channel(0);
        let ends = Arc::default();
        let reporter = Reporter { outbound: outbound.clone(), ends: Arc::clone(&ends) };
        let shared = Shared {
            tls,
            peers,
            dial_timeout: timeouts.dial,
            reconnect_max: timeouts.reconnect_max,
            snapshot: snapshots,
            inbound: inbound_sender,
            outbound,
            ends,
            certificate,
            attached: Arc::new(welcomed),
            answering,
        };
        supervisor::start_thread(shared, lists)?;
        Ok(Self { inbound, snapshot, coordinators, attached, reporter })
    }

    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.snapshot.send_replace(snapshot);
    }

    pub(crate) fn set_coordinators(&self, coordinators: Vec<CoordinatorAddress>) {
        self.coordinators.send_replace(coordinators);
    }

    /// For those that follow the list of coordinators.
    pub(crate) fn coordinators(&self) -> watch::Receiver<Vec<CoordinatorAddress>> {
        self.coordinators.subscribe()
    }

    /// How many coordinators have this process attached.
    pub(crate) fn attached(&self) -> watch::Receiver<usize> {
        self.attached.clone()
    }

    /// Whether any coordinator is reached now.
    pub(crate) fn is_attached(&self) -> bool {
        *self.attached.borrow() > 0
    }

    pub(crate) fn reporter(&self) -> Reporter {
        self.reporter.clone()
    }
}

impl Reporter {
    pub(crate) fn send(&self, message: WorkerMessage) {
        let is_end = matches!(
            &message,
            WorkerMessage::Progress { progress, .. }
                if !matches!(progress, CommandProgress::Running { .. })
        );
        if is_end {
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.push_back(message.clone());
            while ends.len() > ENDS_KEPT {
                ends.pop_front();
            }
        }
        // Nobody is connected: the end is told when somebody is.
        let _ = self.outbound.send(message);
    }
}
