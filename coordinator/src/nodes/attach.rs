//! The control stream of a worker: registration first, then heartbeats in, commands out.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use protocol::control::{CoordinatorMessage, Registration, Role, WorkerMessage};
use protocol::host_facts::HostFacts;
use protocol::identity::CertificateFacts;
use protocol::ids::NodeId;
use protocol::rpc::{Envelope, MessageReader, control_server};
use protocol::transport::grpc::{NodeConnectInfo, require_role};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::imports::Imports;
use super::registry::{Attached, OUTGOING_MAX, WorkerRegistry};
use crate::identity::trust;
use crate::raft::{Consensus, wall_clock};
use crate::reconcile::{Event, ReconcilerConfig};
use crate::state::{Change, IdentityChange};

/// From opening a stream to its `Register`.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(5);
/// Followers leave noting a certificate to the leader for this long.
const NOTE_PAUSE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct AttachService {
    pub(crate) consensus: Arc<Consensus>,
    pub(crate) registry: Arc<WorkerRegistry>,
    pub(crate) imports: Arc<Imports>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) timing: ReconcilerConfig,
}

#[tonic::async_trait]
impl control_server::Control for AttachService {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<Envelope, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let node = require_role(&request, Role::Worker)?.node;
        let info = request.extensions().get::<NodeConnectInfo>();
        let remote = info.map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |info| info.remote);
        let mut incoming = request.into_inner();
        let (outgoing, receiver) = mpsc::channel(OUTGOING_MAX);
        let stream = ReceiverStream::new(receiver).map(envelope);
        if self.consensus.state().removed.contains(&node) {
            // The worker shall hear it, and stop dialling.
            let _ = outgoing.try_send(CoordinatorMessage::Removed);
            return Ok(Response::new(Box::pin(stream)));
        }
        let service = self.clone();
        tokio::spawn(async move {
            // The stream's headers must go out before a worker sends its first message.
            let mut reader = MessageReader::default();
            let first = receive(&mut incoming, &mut reader);
            let first = tokio::time::timeout(REGISTER_TIMEOUT, first).await;
            match first {
                Ok(Ok(WorkerMessage::Register(registration))) => {
                    let (instance, answers) = (registration.instance.clone(), registration.answers);
                    let from = Attached { remote, instance, answers };
                    service.serve(node, from, registration, incoming, outgoing).await;
                }
                Ok(Ok(_)) => {
                    tracing::warn!(node = %node.short(), "the first message is not Register")
                }
                Ok(Err(reason)) => tracing::info!(node = %node.short(), reason, "no registration"),
                Err(_) => tracing::info!(node = %node.short(), "no registration in time"),
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

impl AttachService {
    async fn serve(
        &self,
        node: NodeId,
        from: Attached,
        registration: Box<Registration>,
        mut incoming: Streaming<Envelope>,
        outgoing: mpsc::Sender<CoordinatorMessage>,
    ) {
        if !self.is_member(node).await {
            // The stream ends with `outgoing`: the worker tries again.
            tracing::info!(node = %node.short(), "not a member of the cluster");
            return;
        }
        // A busy coordinator reads late what was said in time.
        let timing = self.timing.obeying(&self.consensus.state().settings);
        let patience = 2 * timing.failure_timeout;
        let knows_trust = !from.instance.is_empty();
        let attached = self.registry.attach(node, from.clone(), outgoing.clone(), patience);
        let (generation, mut is_cut) = match attached {
            Ok(attached) => attached,
            Err(first) => {
                let (node, remote) = (node.short(), from.remote);
                tracing::warn!(%node, %remote, %first, "a second process of one identity: refused");
                let _ =
                    outgoing.try_send(CoordinatorMessage::Duplicate { address: first.to_string() });
                return;
            }
        };
        let welcome = CoordinatorMessage::Welcome {
            cluster: self.consensus.state().cluster.clone(),
            heartbeat_interval_ms: timing.heartbeat.as_millis() as u64,
            failure_timeout_ms: timing.failure_timeout.as_millis() as u64,
        };
        let _ = outgoing.try_send(welcome);
        if knows_trust {
            let _ = outgoing.try_send(CoordinatorMessage::Trust(trust(&self.consensus.state())));
        }
        // The registry holds the only sender: cutting the stream ends it.
        drop(outgoing);
        self.note_certificate(node, registration.certificate.clone());
        tracing::info!(node = %node.short(), name = registration.name, "worker attached");
        let registration = with_clock_compared(registration);
        let mut open = self.deliver(Event::Registered { node, registration }).await;
        let mut reader = MessageReader::default();
        while open {
            let message = tokio::select! {
                message = receive(&mut incoming, &mut reader) => message,
                _ = &mut is_cut => Err("it was cut".to_owned()),
            };
            match message {
                Ok(message) => {
                    self.registry.heard(node, generation);
                    open = self.take(node, message).await;
                }
                Err(reason) => {
                    tracing::info!(node = %node.short(), reason, "control stream ended");
                    open = false;
                }
            }
        }
        if self.registry.detach(node, generation) || !self.registry.is_attached(node) {
            self.deliver(Event::StreamLost { node }).await;
        }
    }

    /// Whether the state knows the node; a coordinator that lags behind gets a moment for it.
    async fn is_member(&self, node: NodeId) -> bool {
        let mut state = self.consensus.watch_state();
        let known = state.wait_for(|state| state.members.contains_key(&node));
        matches!(tokio::time::timeout(REGISTER_TIMEOUT, known).await, Ok(Ok(_)))
    }

    async fn take(&self, node: NodeId, message: WorkerMessage) -> bool {
        match message {
            WorkerMessage::Register(registration) => {
                let registration = with_clock_compared(registration);
                self.deliver(Event::Registered { node, registration }).await
            }
            WorkerMessage::Heartbeat(mut heartbeat) => {
                self.note_certificate(node, heartbeat.certificate.take());
                self.deliver(Event::Heartbeat { node, heartbeat }).await
            }
            WorkerMessage::Link { peer, link } => {
                self.deliver(Event::LinkMeasured { node, peer, link }).await
            }
            WorkerMessage::Progress { operation, progress } => {
                self.imports.take(node, operation, progress);
                true
            }
            WorkerMessage::Answer { id, answer } => {
                self.registry.answered(node, id, answer);
                true
            }
        }
    }

    /// Puts into the log which certificate a worker uses, where the log says otherwise. The leader
    /// does it at once, the others a moment later, if it is still to be done.
    fn note_certificate(&self, node: NodeId, certificate: Option<CertificateFacts>) {
        let Some(certificate) = certificate else { return };
        let consensus = Arc::clone(&self.consensus);
        let is_known = move |consensus: &Consensus, certificate: &CertificateFacts| {
            consensus.state().identity.certificates.get(&node) == Some(certificate)
        };
        if is_known(&consensus, &certificate) {
            return;
        }
        tokio::spawn(async move {
            if !consensus.status().is_leader {
                tokio::time::sleep(NOTE_PAUSE).await;
            }
            if is_known(&consensus, &certificate) {
                return;
            }
            let change = IdentityChange::RecordCertificate { node, certificate };
            if let Err(error) = consensus.propose(Change::Identity(change)).await {
                tracing::warn!(node = %node.short(), %error, "its certificate is not noted");
            }
        });
    }

    /// False once the driver is gone: the coordinator is shutting down.
    async fn deliver(&self, event: Event) -> bool {
        self.events.send(event).await.is_ok()
    }
}

fn with_clock_compared(mut registration: Box<Registration>) -> Box<Registration> {
    compare_clock(&mut registration.profile.host);
    registration
}

/// Their way here took much less than what would be worth telling of.
pub(crate) fn compare_clock(host: &mut HostFacts) {
    let ahead = host.clock_ms as f64 - wall_clock().0 as f64;
    host.clock_ahead_seconds = (host.clock_ms > 0).then_some(ahead / 1e3);
}

/// The next message that this version knows.
async fn receive(
    incoming: &mut Streaming<Envelope>,
    reader: &mut MessageReader,
) -> Result<WorkerMessage, String> {
    loop {
        match incoming.message().await {
            Ok(Some(envelope)) => {
                if let Some(message) = reader.read("WorkerMessage", &envelope) {
                    return Ok(message);
                }
            }
            Ok(None) => return Err("the worker closed it".into()),
            Err(status) => return Err(status.message().to_owned()),
        }
    }
}

// tonic's own error type is large, and its streams yield it as it is.
#[allow(clippy::result_large_err)]
fn envelope(message: CoordinatorMessage) -> Result<Envelope, Status> {
    Envelope::pack("CoordinatorMessage", &message).map_err(|e| Status::internal(e.to_string()))
}
