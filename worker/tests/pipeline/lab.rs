//! A small cluster in this process: a CA, a model of random weights, workers on their own threads.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use checkpoint::WeightType;
use checkpoint::testing::{RandomModel, write_random_gguf};
use protocol::control::{CoordinatorAddress, Role};
use protocol::identity::{ClusterCa, Identity, IdentityStore, NodeKey};
use protocol::ids::NodeId;
use protocol::model_spec::Architecture;
use tempfile::TempDir;
use tokio::sync::watch;
use worker::{Config, Stopping, Timeouts, Worker, WorkerError};

/// What has not happened by then hangs; machines may be slow.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Lab {
    pub(crate) ca: ClusterCa,
    pub(crate) folder: TempDir,
    pub(crate) model: PathBuf,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let model = folder.path().join("model.gguf");
        let random = RandomModel::tiny(Architecture::Llama, WeightType::F16, 11);
        write_random_gguf(&model, &random).expect("written");
        Self { ca: ClusterCa::create("lab").expect("valid name"), folder, model }
    }

    pub(crate) fn identity(&self, role: Role) -> Identity {
        self.identity_of(&NodeKey::generate().expect("key"), role)
    }

    fn identity_of(&self, key: &NodeKey, role: Role) -> Identity {
        let csr = key.signing_request().expect("request");
        let signed = self.ca.sign_node(&csr, role).expect("signed");
        let ca_pem = self.ca.certificate_pem().into();
        Identity::new(key, signed.certificate_pem, ca_pem).expect("fits")
    }

    /// Starts a worker that knows `coordinator`.
    pub(crate) fn worker(&self, name: &str, coordinator: &CoordinatorAddress) -> RunningWorker {
        self.worker_within(name, coordinator, None)
    }

    /// Starts a worker that may take `memory_limit` bytes.
    pub(crate) fn worker_within(
        &self,
        name: &str,
        coordinator: &CoordinatorAddress,
        memory_limit: Option<u64>,
    ) -> RunningWorker {
        let data_dir = self.folder.path().join(name);
        self.join(&data_dir, coordinator);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config::new(data_dir, name.to_owned(), listen);
        (config.threads, config.memory_limit) = (1, memory_limit);
        config.timeouts = Timeouts { drain: Duration::from_secs(1), ..Timeouts::default() };
        RunningWorker::start(config)
    }

    fn join(&self, data_dir: &Path, coordinator: &CoordinatorAddress) {
        let store = IdentityStore::open(data_dir).expect("opens");
        let key = store.node_key().expect("key");
        store.save(&self.identity_of(&key, Role::Worker)).expect("saved");
        store.save_coordinators(std::slice::from_ref(coordinator)).expect("saved");
    }
}

/// A worker on its own threads, so that it can be killed like a process.
pub(crate) struct RunningWorker {
    pub(crate) node: NodeId,
    runtime: Option<tokio::runtime::Runtime>,
    shutdown: Option<watch::Sender<Stopping>>,
    ended: std::sync::mpsc::Receiver<Result<(), WorkerError>>,
}

impl RunningWorker {
    fn start(config: Config) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("runtime");
        let (shutdown, asked) = watch::channel(Stopping::No);
        let (end_sender, ended) = std::sync::mpsc::sync_channel(1);
        let (node_sender, node) = std::sync::mpsc::sync_channel(1);
        runtime.spawn(async move {
            let worker = Worker::start(config).await.expect("starts");
            node_sender.send(worker.node()).expect("waited for");
            let end = worker.run(asked).await;
            let _ = end_sender.send(end);
        });
        let node = node.recv_timeout(SOON).expect("started");
        Self { node, runtime: Some(runtime), shutdown: Some(shutdown), ended }
    }

    /// Nothing is said to anybody: sockets just close.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Asks for a clean end and waits for it.
    pub(crate) fn stop(&mut self) -> Result<(), WorkerError> {
        drop(self.shutdown.take());
        self.ended()
    }

    pub(crate) fn ended(&self) -> Result<(), WorkerError> {
        self.ended.recv_timeout(SOON).expect("ends in time")
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.kill();
    }
}
