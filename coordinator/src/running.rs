//! A coordinator's life: open the folder, take part, serve nodes and clients, leave in order.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::middleware::from_fn_with_state;
use protocol::control::CoordinatorEndpoint;
use protocol::identity::{Identity, IdentityStore};
use protocol::rpc::ENVELOPE_BYTES_MAX;
use protocol::rpc::control_server::ControlServer;
use protocol::rpc::identity_server::IdentityServer;
use protocol::rpc::join_server::JoinServer;
use protocol::rpc::limits_server::LimitsServer;
use protocol::rpc::questions_server::QuestionsServer;
use protocol::rpc::raft_server::RaftServer;
use protocol::transport::tls::ClientCertificate;
use protocol::transport::{NodeTls, QuicEndpoint, QuicSettings, grpc};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tonic::transport::Server;

use crate::admin::{self, Admin};
use crate::api_server;
use crate::config::Config;
use crate::destruction;
use crate::driver::{self, Driver, EVENTS_MAX};
use crate::error::CoordinatorError;
use crate::events;
use crate::founding::coordinator_identity;
use crate::gateway::auth::{self, KeyPolicy};
use crate::gateway::config::GatewayConfig;
use crate::gateway::directory::Directory;
use crate::gateway::{self, GatewayState};
use crate::identity::{ApiTls, Authority, IdentityService, Keeper, Seen, someone_else_at};
use crate::limits::{Counter, LimitsService};
use crate::listeners::Listeners;
use crate::metrics;
use crate::nodes::blobs::BlobStore;
use crate::nodes::{
    AttachService, ClusterDirectory, DataPlane, Imports, JoinService, QuestionService,
    WorkerRegistry, data_plane, texts,
};
use crate::pulse;
use crate::raft::{Consensus, ConsensusConfig, RaftService};
use crate::reconcile::{Event, LiveView};

/// What was cut must reach its client within this.
const CUT: Duration = Duration::from_secs(2);
/// Nodes hear of the end this long.
const LEAVE: Duration = Duration::from_secs(2);
const LEASE_BYTES_MAX: usize = 4096;
const QUESTION_BYTES_MAX: usize = 4096;
const JOIN_BYTES_MAX: usize = 1 << 20;

/// Binds the configured addresses and serves until `shutdown` is true.
pub async fn run(config: Config, shutdown: watch::Receiver<bool>) -> Result<(), CoordinatorError> {
    destruction::refuse(&config.data_dir)?;
    let listeners = Listeners::bind(&config).await?;
    run_on(config, listeners, shutdown).await
}

/// Like `run`, on sockets that are bound already.
pub async fn run_on(
    config: Config,
    listeners: Listeners,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), CoordinatorError> {
    config.check()?;
    destruction::refuse(&config.data_dir)?;
    let (drain, data_dir) = (config.drain, config.data_dir.clone());
    let part = Part::open(config, &listeners).await?;
    let consensus = Arc::clone(&part.consensus);
    let registry = Arc::clone(&part.registry);
    let counter = Arc::clone(&part.counter);
    let (closing, is_closing) = watch::channel(false);
    let (leaving, is_leaving) = watch::channel(false);
    let mut background = JoinSet::new();
    let Listeners { node_tcp, node_udp, api } = listeners;
    let (gateway, mut clients, api_tls) = part.serve_clients(api, is_closing)?;
    let mut nodes = part.serve_nodes(node_tcp, is_leaving)?;
    part.start_background(node_udp, api_tls, &mut background)?;
    let ended = tokio::select! {
        () = async { drop(shutdown.wait_for(|stop| *stop).await) } => Ok(()),
        ended = &mut clients => Err(service_ended("the API server", ended)),
        ended = &mut nodes => Err(service_ended("the server for nodes", ended)),
        reason = consensus.keep_running() => Err(CoordinatorError::Raft(reason)),
        () = destruction::told(&consensus, &data_dir) => Ok(()),
        Some(ended) = background.join_next() => Err(service_ended("a background task", ended)),
    };
    consensus.hand_over().await;
    // Clients first, as their streams run over the workers' connections.
    gateway.drain();
    closing.send_replace(true);
    if tokio::time::timeout(drain, &mut clients).await.is_err() {
        gateway.cut();
        if tokio::time::timeout(CUT, &mut clients).await.is_err() {
            clients.abort();
        }
    }
    registry.cut_all();
    leaving.send_replace(true);
    if tokio::time::timeout(LEAVE, &mut nodes).await.is_err() {
        nodes.abort();
    }
    background.shutdown().await;
    if tokio::time::timeout(LEAVE, counter.tell_usage()).await.is_err() {
        tracing::info!("usage of keys waits on the disk for the next start");
    }
    consensus.shutdown().await;
    ended
}

fn service_ended(what: &'static str, ended: Result<(), JoinError>) -> CoordinatorError {
    let reason = ended.err().map_or_else(|| "it returned".to_owned(), |e| e.to_string());
    CoordinatorError::Service { what, reason }
}

/// Everything that the services share.
struct Part {
    config: Config,
    own_endpoint: CoordinatorEndpoint,
    listening: SocketAddr,
    tls: NodeTls,
    store: IdentityStore,
    identity: Identity,
    authority: Arc<Authority>,
    consensus: Arc<Consensus>,
    registry: Arc<WorkerRegistry>,
    events: mpsc::Sender<Event>,
    received: Mutex<Option<mpsc::Receiver<Event>>>,
    view: watch::Sender<Arc<LiveView>>,
    directory: Arc<ClusterDirectory>,
    counter: Arc<Counter>,
    origin: Instant,
}

impl Part {
    async fn open(config: Config, listeners: &Listeners) -> Result<Self, CoordinatorError> {
        let store = IdentityStore::open(&config.data_dir)?;
        let none = || CoordinatorError::NoIdentity { path: config.data_dir.clone() };
        let identity = coordinator_identity(store.load()?.ok_or_else(none)?, &config.data_dir)?;
        let no_ca = || CoordinatorError::NoCa { path: config.data_dir.clone() };
        let ca = store.load_ca()?.ok_or_else(no_ca)?;
        let tls = NodeTls::new(&identity)?;
        tls.revoke(store.trust()?.revoked);
        let own_endpoint = CoordinatorEndpoint {
            level: config.log_level,
            ..CoordinatorEndpoint::new(
                advertised(config.address.as_ref(), listeners.node_address()?),
                advertised(config.api_address.as_ref(), listeners.api_address()?),
            )
        };
        refuse_duplicate(&store, &identity, listeners, &tls).await?;
        let consensus = Consensus::start(ConsensusConfig {
            data_dir: config.data_dir.clone(),
            address: own_endpoint.address.clone(),
            tls: tls.clone(),
            heartbeat: config.raft_heartbeat,
            election: config.raft_election,
            log_level: config.log_level,
        })
        .await?;
        let consensus = Arc::new(consensus);
        let (validity, states) = (config.certificate_validity, consensus.watch_state());
        let authority = Authority::new(store.clone(), ca, validity, states);
        let counter = Counter::open(Arc::clone(&consensus), &config.data_dir)?;
        let (events, received) = mpsc::channel(EVENTS_MAX);
        let (view, _) = watch::channel(Arc::new(LiveView::default()));
        let registry = Arc::new(WorkerRegistry::default());
        let data_plane = DataPlane::new(Arc::clone(&registry));
        let directory = ClusterDirectory::new(Arc::clone(&consensus), view.subscribe(), data_plane);
        Ok(Self {
            config,
            own_endpoint,
            listening: listeners.node_address()?,
            tls,
            store,
            identity,
            authority: Arc::new(authority),
            consensus,
            registry,
            directory: Arc::new(directory),
            counter: Arc::new(counter),
            events,
            received: Mutex::new(Some(received)),
            view,
            origin: Instant::now(),
        })
    }

    fn serve_clients(
        &self,
        listener: TcpListener,
        closing: watch::Receiver<bool>,
    ) -> Result<(GatewayState, JoinHandle<()>, Option<ApiTls>), CoordinatorError> {
        let config = &self.config;
        let plain = config.api_listen.ip().is_loopback() || config.insecure_http;
        let address = &self.own_endpoint.api_address;
        let tls = match plain {
            true => None,
            false => Some(ApiTls::new(
                &self.authority,
                &self.identity.ca_pem,
                address,
                config.api_listen,
            )?),
        };
        let acceptor = tls.as_ref().map(ApiTls::acceptor).transpose()?;
        let admin = Admin {
            consensus: Arc::clone(&self.consensus),
            registry: Arc::clone(&self.registry),
            view: self.view.subscribe(),
            origin: self.origin,
            authority: Arc::clone(&self.authority),
            tls: self.tls.clone(),
            log: self.config.log.clone(),
        };
        let keys = match config.api_listen.ip().is_loopback() && !config.require_keys {
            true => KeyPolicy::Open,
            false => KeyPolicy::Required,
        };
        let gateway = GatewayConfig { keys, ..config.gateway.clone() };
        let directory = Arc::clone(&self.directory) as Arc<dyn Directory>;
        let quota = Arc::new(Arc::clone(&self.counter));
        let gateway = GatewayState::new(gateway, directory, metrics::install()).with_quota(quota);
        let guard = from_fn_with_state(gateway.auth(), auth::authorise);
        let admin = admin::router(Arc::new(admin)).route_layer(guard);
        let router = gateway::router_with(gateway.clone(), admin);
        tracing::info!(address, tls = !plain, "serving the API");
        let serving = tokio::spawn(api_server::serve(listener, acceptor, router, closing));
        Ok((gateway, serving, tls))
    }

    fn serve_nodes(
        &self,
        listener: TcpListener,
        mut leaving: watch::Receiver<bool>,
    ) -> Result<JoinHandle<()>, CoordinatorError> {
        let consensus = Arc::clone(&self.consensus);
        let authority = Arc::clone(&self.authority);
        let join =
            JoinService { consensus: Arc::clone(&consensus), authority: Arc::clone(&authority) };
        let identity = IdentityService { consensus: Arc::clone(&consensus), authority };
        let attach = AttachService {
            consensus: Arc::clone(&consensus),
            registry: Arc::clone(&self.registry),
            imports: Arc::new(Imports::new(Arc::clone(&consensus))),
            events: self.events.clone(),
            timing: self.config.reconciler.clone(),
        };
        let counter = Arc::clone(&self.counter);
        let log = self.config.log.clone();
        let questions = QuestionService { consensus: Arc::clone(&consensus), log };
        let limits = LimitsService { consensus: Arc::clone(&consensus), counter };
        let raft = RaftServer::new(RaftService { consensus });
        let raft = raft
            .max_decoding_message_size(ENVELOPE_BYTES_MAX)
            .max_encoding_message_size(ENVELOPE_BYTES_MAX);
        // Without a certificate only `Join` is served; every other handler asks for one.
        let incoming = grpc::accept(listener, &self.tls, ClientCertificate::Optional)?;
        let serving = Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(2)))
            .http2_keepalive_timeout(Some(Duration::from_secs(5)))
            .add_service(JoinServer::new(join).max_decoding_message_size(JOIN_BYTES_MAX))
            .add_service(ControlServer::new(attach).max_decoding_message_size(ENVELOPE_BYTES_MAX))
            .add_service(IdentityServer::new(identity).max_decoding_message_size(JOIN_BYTES_MAX))
            .add_service(LimitsServer::new(limits).max_decoding_message_size(LEASE_BYTES_MAX))
            .add_service(
                QuestionsServer::new(questions).max_decoding_message_size(QUESTION_BYTES_MAX),
            )
            .add_service(raft)
            .serve_with_incoming_shutdown(incoming, async move {
                let _ = leaving.wait_for(|leaving| *leaving).await;
            });
        Ok(tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the server for nodes failed");
            }
        }))
    }

    fn start_background(
        &self,
        socket: UdpSocket,
        api: Option<ApiTls>,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), CoordinatorError> {
        let quic = QuicEndpoint::on_socket(socket, self.tls.clone(), QuicSettings::default())?;
        let (consensus, registry) = (&self.consensus, &self.registry);
        tasks.spawn(data_plane::accept(quic, Arc::clone(registry), Arc::clone(consensus)));
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(events) = received {
            let driver = Driver {
                consensus: Arc::clone(consensus),
                registry: Arc::clone(registry),
                events,
                answers: self.events.downgrade(),
                view: self.view.clone(),
                origin: self.origin,
                config: self.config.reconciler.clone(),
            };
            tasks.spawn(driver.run());
        }
        let told = Arc::clone(consensus.events());
        tasks.spawn(events::watch(Arc::clone(consensus), told, self.view.subscribe()));
        tasks.spawn(driver::watch_leadership(Arc::clone(consensus), self.events.clone()));
        let data_plane = DataPlane::new(Arc::clone(registry));
        let blobs = BlobStore::open(&self.config.data_dir, data_plane)?;
        let directory = Arc::clone(&self.directory);
        tasks.spawn(texts::follow(Arc::clone(consensus), Arc::clone(&directory)));
        tasks.spawn(texts::fetch_missing(directory, blobs));
        tasks.spawn(Arc::clone(&self.counter).run());
        tasks.spawn(driver::tend_membership(Arc::clone(consensus)));
        let (view, line) = (self.view.subscribe(), self.config.pulse.clone());
        tasks.spawn(pulse::beat(Arc::clone(consensus), view, line));
        let keeper = Keeper {
            authority: Arc::clone(&self.authority),
            consensus: Arc::clone(consensus),
            registry: Arc::clone(registry),
            tls: self.tls.clone(),
            followed: self.store.trust()?.applied,
            store: self.store.clone(),
            identity: self.identity.clone(),
            api,
            seen: Seen::default(),
        };
        tasks.spawn(keeper.run());
        let endpoint = self.own_endpoint.clone();
        let (listening, tls) = (self.listening, self.tls.clone());
        tasks.spawn(driver::keep_endpoint(Arc::clone(consensus), endpoint, listening, tls));
        Ok(())
    }
}

/// Where this identity was reached last nobody else may answer with it.
async fn refuse_duplicate(
    store: &IdentityStore,
    identity: &Identity,
    listeners: &Listeners,
    tls: &NodeTls,
) -> Result<(), CoordinatorError> {
    let listening = listeners.node_address()?;
    let known = store.coordinators()?;
    for own in known.into_iter().filter(|c| c.node == identity.peer.node) {
        if someone_else_at(&own.address, listening, tls).await {
            let path = store.folder().to_owned();
            return Err(CoordinatorError::Duplicate { address: own.address, path });
        }
    }
    Ok(())
}

/// What others are told: the configured address, else the one that is listened on.
fn advertised(configured: Option<&String>, listening: SocketAddr) -> String {
    configured.cloned().unwrap_or_else(|| {
        let shown = match listening.ip().is_unspecified() {
            true => SocketAddr::from(([127, 0, 0, 1], listening.port())),
            false => listening,
        };
        shown.to_string()
    })
}
