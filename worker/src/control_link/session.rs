//! One control stream: register, then heartbeats out and commands in, until either side ends it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use protocol::control::{CoordinatorAddress, CoordinatorMessage, Heartbeat, WorkerMessage};
use protocol::identity::CertificateFacts;
use protocol::ids::NodeId;
use protocol::rpc::control_client::ControlClient;
use protocol::rpc::{ENVELOPE_BYTES_MAX, Envelope, MessageReader};
use protocol::transport::GrpcTarget;
use protocol::transport::grpc::says_removed;
use protocol::transport::tls::GRPC_ALPN;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Inbound, Shared, Snapshot};
use crate::error::WorkerError;

/// Until the coordinator's `Welcome` says otherwise.
const HEARTBEAT_DEFAULT: Duration = Duration::from_millis(200);
const HEARTBEAT_MIN: Duration = Duration::from_millis(20);
const HEARTBEAT_MAX: Duration = Duration::from_secs(10);
/// Messages queued for one coordinator; more means that it does not read.
const OUT_QUEUE: usize = 64;

/// Why a session ended, where the coordinator did not just close it.
pub(super) enum End {
    /// Another process of this identity is attached, from there.
    Duplicate {
        address: String,
    },
    /// The coordinator refuses this node for good.
    Removed,
    Broken(WorkerError),
}

impl From<WorkerError> for End {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Removed => Self::Removed,
            other => Self::Broken(other),
        }
    }
}

/// Returns when the coordinator closes the stream; errors say what broke.
pub(super) async fn run(shared: &Shared, coordinator: &CoordinatorAddress) -> Result<(), End> {
    let (out, queue) = mpsc::channel::<Envelope>(OUT_QUEUE);
    let mut link = Link {
        shared: shared.clone(),
        out,
        sequence: 0,
        received: BTreeMap::new(),
        certificate: None,
        welcomed: Welcomed { attached: Arc::clone(&shared.attached), counted: false },
    };
    let snapshot = link.shared.snapshot.borrow_and_update().clone();
    let mut urgent = snapshot.urgent;
    let mut outbound = shared.outbound.subscribe();
    link.register(snapshot)?;
    let mut inbound = attach(shared, coordinator, queue).await?;
    let mut beat = interval(HEARTBEAT_DEFAULT);
    let mut reader = MessageReader::default();
    loop {
        tokio::select! {
            message = inbound.message() => {
                let message = message.map_err(|status| refused(coordinator, &status))?;
                let Some(envelope) = message else { return Ok(()) };
                let message = reader.read("CoordinatorMessage", &envelope);
                let Some(message): Option<CoordinatorMessage> = message else { continue };
                match message {
                    CoordinatorMessage::Welcome { heartbeat_interval_ms, .. } => {
                        let asked = Duration::from_millis(heartbeat_interval_ms);
                        beat = interval(asked.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX));
                        link.welcomed.count();
                    }
                    CoordinatorMessage::Duplicate { address } => {
                        return Err(End::Duplicate { address });
                    }
                    CoordinatorMessage::Ask { id, question } => {
                        shared.answering.answer(id, question, &link.out);
                        continue;
                    }
                    _ => {}
                }
                let inbound = Inbound { from: coordinator.node, message };
                if shared.inbound.send(inbound).await.is_err() {
                    return Ok(());
                }
            }
            _ = beat.tick() => link.heartbeat()?,
            changed = link.shared.snapshot.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let now = link.shared.snapshot.borrow_and_update().urgent;
                if now != urgent {
                    urgent = now;
                    link.heartbeat()?;
                }
            }
            message = outbound.recv() => match message {
                Ok(message) => link.send(&message)?,
                // Only progress is dropped; ends are told again at the next registration.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
        }
    }
}

async fn attach(
    shared: &Shared,
    coordinator: &CoordinatorAddress,
    queue: mpsc::Receiver<Envelope>,
) -> Result<Streaming<Envelope>, WorkerError> {
    let tls = shared.tls.client(Some(coordinator.node), GRPC_ALPN);
    let tls = tls.map_err(|error| WorkerError::Tls(error.to_string()))?;
    let target = GrpcTarget {
        address: coordinator.address.clone(),
        tls: Arc::new(tls),
        dial_timeout: shared.dial_timeout,
    };
    let channel = target.connect().await.map_err(|error| rpc(coordinator, &error))?;
    let mut client = ControlClient::new(channel)
        .max_decoding_message_size(ENVELOPE_BYTES_MAX)
        .max_encoding_message_size(ENVELOPE_BYTES_MAX);
    let attached =
        tokio::time::timeout(shared.dial_timeout, client.attach(ReceiverStream::new(queue)));
    let attached = attached.await.map_err(|_| rpc(coordinator, &"it did not answer in time"))?;
    Ok(attached.map_err(|status| refused(coordinator, &status))?.into_inner())
}

/// Counts a session among those that are attached, until it ends.
struct Welcomed {
    attached: Arc<watch::Sender<usize>>,
    counted: bool,
}

impl Welcomed {
    fn count(&mut self) {
        if !std::mem::replace(&mut self.counted, true) {
            self.attached.send_modify(|sessions| *sessions += 1);
        }
    }
}

impl Drop for Welcomed {
    fn drop(&mut self) {
        if self.counted {
            self.attached.send_modify(|sessions| *sessions -= 1);
        }
    }
}

/// The sending half of a session.
struct Link {
    shared: Shared,
    out: mpsc::Sender<Envelope>,
    sequence: u64,
    /// Datagrams received from each peer at the last heartbeat.
    received: BTreeMap<NodeId, u64>,
    /// As told last.
    certificate: Option<CertificateFacts>,
    welcomed: Welcomed,
}

impl Link {
    fn register(&mut self, snapshot: Snapshot) -> Result<(), WorkerError> {
        let mut registration = snapshot.registration;
        registration.shards = snapshot.shards;
        registration.certificate = self.shared.certificate.borrow().clone();
        self.certificate.clone_from(&registration.certificate);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        registration.profile.host.clock_ms = now.as_millis() as u64;
        self.send(&WorkerMessage::Register(Box::new(registration)))?;
        let ends = self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ends.iter().try_for_each(|message| self.send(message))
    }

    fn heartbeat(&mut self) -> Result<(), WorkerError> {
        let Snapshot { shards, loads, memory_used_bytes, leaving, .. } =
            self.shared.snapshot.borrow().clone();
        let received = self.shared.peers.received();
        let grew = |(peer, count): (&NodeId, &u64)| {
            (self.received.get(peer) != Some(count)).then_some(*peer)
        };
        let peers_alive = received.iter().filter_map(grew).collect();
        self.received = received;
        self.sequence += 1;
        let sequence = self.sequence;
        let current = self.shared.certificate.borrow().clone();
        let certificate = current.filter(|now| self.certificate.as_ref() != Some(now));
        if certificate.is_some() {
            self.certificate.clone_from(&certificate);
        }
        let beat = Heartbeat {
            sequence,
            shards,
            loads,
            memory_used_bytes,
            peers_alive,
            certificate,
            leaving,
        };
        self.send(&WorkerMessage::Heartbeat(beat))
    }

    fn send(&self, message: &WorkerMessage) -> Result<(), WorkerError> {
        let envelope = Envelope::pack("WorkerMessage", message)?;
        self.out.try_send(envelope).map_err(|_| WorkerError::Rpc {
            address: "of the coordinator".to_owned(),
            reason: "it stopped reading the control stream".to_owned(),
        })
    }
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn refused(coordinator: &CoordinatorAddress, status: &tonic::Status) -> WorkerError {
    if says_removed(status) { WorkerError::Removed } else { rpc(coordinator, status) }
}

fn rpc(coordinator: &CoordinatorAddress, reason: &dyn std::fmt::Display) -> WorkerError {
    WorkerError::Rpc { address: coordinator.address.clone(), reason: reason.to_string() }
}
