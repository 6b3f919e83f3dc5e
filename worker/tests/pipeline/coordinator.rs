//! A coordinator as a worker sees it: the control service, and the QUIC end that opens streams.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use protocol::control::{
    CommandProgress, CoordinatorAddress, CoordinatorMessage, Heartbeat, Registration, Role,
    WorkerMessage,
};
use protocol::frame::{Frame, FrameKind};
use protocol::generate::{GenerateEvent, GenerateRequest};
use protocol::ids::{Digest, Epoch, NodeId, ReplicaId, TokenId};
use protocol::plan::Plan;
use protocol::rpc::Envelope;
use protocol::rpc::control_server::{Control, ControlServer};
use protocol::sampling_params::SamplingParams;
use protocol::shard::{DesiredShard, DesiredShards, ReplicaLoad, ShardState};
use protocol::stream::{StreamAnswer, StreamHello};
use protocol::transport::tls::ClientCertificate;
use protocol::transport::{
    FrameReader, FrameWriter, NodeTls, QuicEndpoint, QuicSettings, grpc, peer_identity,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::lab::{Lab, SOON};

pub(crate) const REPLICA: ReplicaId = ReplicaId(7);

/// What workers said, and the ways to them.
#[derive(Default)]
struct Seen {
    registrations: BTreeMap<NodeId, Registration>,
    beats: BTreeMap<NodeId, Heartbeat>,
    messages: Vec<(NodeId, WorkerMessage)>,
    commands: BTreeMap<NodeId, mpsc::Sender<Result<Envelope, Status>>>,
    connections: BTreeMap<NodeId, quinn::Connection>,
}

pub(crate) struct Coordinator {
    pub(crate) address: CoordinatorAddress,
    seen: Arc<Mutex<Seen>>,
    changed: watch::Sender<u64>,
    _endpoint: QuicEndpoint,
}

impl Coordinator {
    pub(crate) async fn start(lab: &Lab) -> Self {
        let identity = lab.identity(Role::Coordinator);
        let tls = NodeTls::new(&identity).expect("usable");
        let (endpoint, listener) = bind(&tls).await;
        let port = endpoint.local_address().expect("bound").to_string();
        let (seen, changed) = (Arc::new(Mutex::new(Seen::default())), watch::Sender::new(0));
        let service = Service { seen: Arc::clone(&seen), changed: changed.clone() };
        let incoming = grpc::accept(listener, &tls, ClientCertificate::Optional).expect("usable");
        let server = tonic::transport::Server::builder()
            .add_service(ControlServer::new(service))
            .serve_with_incoming(incoming);
        tokio::spawn(async { server.await.expect("serves") });
        tokio::spawn(accept(endpoint.clone(), Arc::clone(&seen), changed.clone()));
        let node = identity.peer.node;
        let address =
            CoordinatorAddress { node, address: port, api_address: "127.0.0.1:1".to_owned() };
        Self { address, seen, changed, _endpoint: endpoint }
    }

    /// Waits until `look` finds something in what the workers said.
    async fn until<T>(&self, what: &str, look: impl Fn(&Seen) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        let found = async {
            loop {
                if let Some(found) = look(&self.seen.lock().expect("whole")) {
                    return found;
                }
                changes.changed().await.expect("lives");
            }
        };
        match tokio::time::timeout(SOON, found).await {
            Ok(found) => found,
            Err(_) => panic!("{what} did not happen; states: {:?}", self.states()),
        }
    }

    pub(crate) fn states(&self) -> Vec<(String, Vec<protocol::shard::ShardStatus>)> {
        let seen = self.seen.lock().expect("whole");
        seen.beats.iter().map(|(node, beat)| (node.short(), beat.shards.clone())).collect()
    }

    pub(crate) async fn registered(&self, node: NodeId) -> Registration {
        self.until("registration and connection", |seen| {
            seen.connections.get(&node)?;
            seen.registrations.get(&node).cloned()
        })
        .await
    }

    pub(crate) async fn send(&self, node: NodeId, message: &CoordinatorMessage) {
        self.send_raw(node, Envelope::pack("CoordinatorMessage", message).expect("packs")).await;
    }

    pub(crate) async fn send_raw(&self, node: NodeId, envelope: Envelope) {
        let commands = self.seen.lock().expect("whole").commands[&node].clone();
        commands.send(Ok(envelope)).await.expect("attached");
    }

    pub(crate) async fn message<T>(
        &self,
        what: &str,
        look: impl Fn(NodeId, &WorkerMessage) -> Option<T>,
    ) -> T {
        self.until(what, |seen| seen.messages.iter().find_map(|(node, m)| look(*node, m))).await
    }

    /// Sends each of `nodes` its full desired set: the one replica.
    pub(crate) async fn desire(
        &self,
        nodes: &[NodeId],
        epoch: u64,
        plan: &Plan,
        holders: &[NodeId],
    ) {
        let mut addresses = BTreeMap::new();
        for node in nodes.iter().chain(holders) {
            addresses.insert(*node, self.registered(*node).await.data_addresses);
        }
        let (plan, holders) = (plan.clone(), holders.to_vec());
        let shard = DesiredShard { replica: REPLICA, epoch: Epoch(epoch), plan, holders };
        let set = DesiredShards { index: epoch, shards: vec![shard], addresses };
        for node in nodes {
            self.send(*node, &CoordinatorMessage::Desired(set.clone())).await;
        }
    }

    /// Waits until the shard of `epoch` on `node` is in a state that `accept` takes.
    pub(crate) async fn state(
        &self,
        node: NodeId,
        epoch: u64,
        what: &str,
        accept: impl Fn(&ShardState) -> bool,
    ) -> ShardState {
        self.until(what, |seen| {
            let shards = &seen.beats.get(&node)?.shards;
            let shard = shards.iter().find(|s| s.epoch == Epoch(epoch))?;
            accept(&shard.state).then(|| shard.state.clone())
        })
        .await
    }

    pub(crate) async fn ready(&self, nodes: &[NodeId], epoch: u64) {
        for node in nodes {
            self.state(*node, epoch, "ready", |state| *state == ShardState::Ready).await;
        }
    }

    pub(crate) async fn load(
        &self,
        node: NodeId,
        accept: impl Fn(&ReplicaLoad) -> bool,
    ) -> ReplicaLoad {
        self.until("load", |seen| {
            let loads = &seen.beats.get(&node)?.loads;
            loads.iter().find(|load| accept(load)).copied()
        })
        .await
    }

    pub(crate) fn connection(&self, node: NodeId) -> quinn::Connection {
        self.seen.lock().expect("whole").connections[&node].clone()
    }

    /// Opens a `Generate` stream at `head` and sends the request if the epoch is accepted.
    pub(crate) async fn generate(
        &self,
        head: NodeId,
        epoch: u64,
        request: &GenerateRequest,
    ) -> Result<Answer, StreamAnswer> {
        let connection = self.connection(head);
        let (mut writer, reader) = hello(&connection, &StreamHello::Generate, epoch).await?;
        let frame = Frame::new(FrameKind::Generate, REPLICA, Epoch(epoch), request);
        writer.send(&frame.expect("encodes")).await.expect("sent");
        Ok(Answer { writer, reader, epoch })
    }
}

/// Opens a stream; `Err` is the answer that refuses it.
pub(crate) async fn hello(
    connection: &quinn::Connection,
    hello: &StreamHello,
    epoch: u64,
) -> Result<(FrameWriter, FrameReader), StreamAnswer> {
    let (send, receive) = connection.open_bi().await.expect("open");
    let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(receive));
    let frame = Frame::new(FrameKind::Hello, REPLICA, Epoch(epoch), hello).expect("encodes");
    writer.send(&frame).await.expect("sent");
    let answer = tokio::time::timeout(SOON, reader.recv()).await.expect("in time");
    let answer = answer.expect("read").expect("answered");
    match answer.open(FrameKind::Answer).expect("an answer") {
        StreamAnswer::Ok => Ok((writer, reader)),
        refused => Err(refused),
    }
}

/// A running `Generate` stream.
pub(crate) struct Answer {
    writer: FrameWriter,
    reader: FrameReader,
    epoch: u64,
}

impl Answer {
    pub(crate) async fn next(&mut self) -> Option<GenerateEvent> {
        let frame = tokio::time::timeout(SOON, self.reader.recv()).await.expect("in time");
        frame.ok()?.map(|frame| frame.open(FrameKind::GenerateEvent).expect("an event"))
    }

    pub(crate) async fn cancel(&mut self) {
        let frame = Frame::new(FrameKind::Cancel, REPLICA, Epoch(self.epoch), &0_u8);
        self.writer.send(&frame.expect("encodes")).await.expect("sent");
    }

    /// Tokens until the end, and the last event.
    pub(crate) async fn finish(mut self) -> (Vec<TokenId>, GenerateEvent) {
        let mut tokens = Vec::new();
        loop {
            match self.next().await.expect("an end before the stream's") {
                GenerateEvent::Accepted => {}
                GenerateEvent::Token(emitted) => tokens.push(emitted.token),
                last => return (tokens, last),
            }
        }
    }
}

pub(crate) fn request(prompt: &[u32], tokens_max: u32) -> GenerateRequest {
    GenerateRequest {
        request_id: "test".to_owned(),
        prompt: prompt.iter().map(|id| TokenId(*id)).collect(),
        emitted: Vec::new(),
        sampling: SamplingParams { temperature: 0.8, ..SamplingParams::default() },
        choice_seed: 42,
        tokens_max,
        resumed: false,
    }
}

/// Has `node` import the model at `path`; its manifest.
pub(crate) async fn import(coordinator: &Coordinator, node: NodeId, path: &Path) -> Digest {
    coordinator.registered(node).await;
    let (operation, path) = ("op-1".to_owned(), path.display().to_string());
    coordinator.send(node, &CoordinatorMessage::Import { operation, path }).await;
    let imported = coordinator.message("import", |_, message| match message {
        WorkerMessage::Progress { progress, .. } => match progress {
            CommandProgress::Imported { manifest, .. } => Some(Ok(*manifest)),
            CommandProgress::Failed { reason } => Some(Err(reason.clone())),
            _ => None,
        },
        _ => None,
    });
    imported.await.expect("imported")
}

/// gRPC and QUIC on the same port number.
async fn bind(tls: &NodeTls) -> (QuicEndpoint, tokio::net::TcpListener) {
    for _ in 0..50 {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoint = QuicEndpoint::bind(any, tls.clone(), QuicSettings::default());
        let endpoint = endpoint.expect("bound");
        let address = endpoint.local_address().expect("bound");
        if let Ok(listener) = tokio::net::TcpListener::bind(address).await {
            return (endpoint, listener);
        }
    }
    panic!("no port is free for both TCP and UDP");
}

async fn accept(endpoint: QuicEndpoint, seen: Arc<Mutex<Seen>>, changed: watch::Sender<u64>) {
    while let Some(incoming) = endpoint.accept().await {
        let Ok(connection) = incoming.await else { continue };
        let peer = peer_identity(&connection).expect("a node");
        seen.lock().expect("whole").connections.insert(peer.node, connection);
        changed.send_modify(|n| *n += 1);
    }
}

struct Service {
    seen: Arc<Mutex<Seen>>,
    changed: watch::Sender<u64>,
}

#[tonic::async_trait]
impl Control for Service {
    type AttachStream = ReceiverStream<Result<Envelope, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let node = grpc::require_role(&request, Role::Worker)?.node;
        let (commands, queue) = mpsc::channel(64);
        let welcome = CoordinatorMessage::Welcome {
            cluster: "lab".to_owned(),
            heartbeat_interval_ms: 100,
            failure_timeout_ms: 1000,
        };
        let welcome = Envelope::pack("CoordinatorMessage", &welcome).expect("packs");
        commands.send(Ok(welcome)).await.expect("room");
        self.seen.lock().expect("whole").commands.insert(node, commands);
        let (seen, changed) = (Arc::clone(&self.seen), self.changed.clone());
        let mut inbound = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(envelope)) = inbound.message().await {
                let message = envelope.unpack("WorkerMessage").expect("a message");
                let mut seen = seen.lock().expect("whole");
                match message {
                    WorkerMessage::Register(registration) => {
                        drop(seen.registrations.insert(node, *registration));
                    }
                    WorkerMessage::Heartbeat(beat) => drop(seen.beats.insert(node, beat)),
                    other => seen.messages.push((node, other)),
                }
                drop(seen);
                changed.send_modify(|n| *n += 1);
            }
        });
        Ok(Response::new(ReceiverStream::new(queue)))
    }
}
