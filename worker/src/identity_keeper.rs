//! Keeps a worker's own identity good: whom to trust as coordinators say, and a new certificate
//! before the old one expires or its CA goes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::control::{CoordinatorAddress, RenewRequest, RenewResponse, Trust};
use protocol::identity::{CaFingerprint, CertificateFacts, Identity, IdentityStore};
use protocol::ids::NodeId;
use protocol::rpc::Envelope;
use protocol::rpc::identity_client::IdentityClient;
use protocol::transport::tls::GRPC_ALPN;
use protocol::transport::{GrpcTarget, NodeTls};
use tokio::sync::watch;

use crate::data_plane::PeerPool;
use crate::error::WorkerError;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(60);
const LOOK_MAX: Duration = Duration::from_secs(3600);
const LOOK_MIN: Duration = Duration::from_millis(200);

/// Who this node is, as its folder says.
pub(crate) struct OwnIdentity {
    pub(crate) store: IdentityStore,
    pub(crate) identity: Identity,
    pub(crate) tls: NodeTls,
    /// What was followed before this start.
    trusted: Trust,
}

struct IdentityKeeper {
    store: IdentityStore,
    identity: Identity,
    tls: NodeTls,
    peers: Arc<PeerPool>,
    coordinators: watch::Receiver<Vec<CoordinatorAddress>>,
    /// What coordinators said last.
    trust: watch::Receiver<Trust>,
    /// For the coordinators, of the certificate in use.
    certificate: watch::Sender<Option<CertificateFacts>>,
    dial_timeout: Duration,
}

impl OwnIdentity {
    pub(crate) fn load(data_dir: &Path) -> Result<Self, WorkerError> {
        let store = IdentityStore::open(data_dir).map_err(identity)?;
        let own = store.load().map_err(identity)?.ok_or(WorkerError::NotJoined)?;
        let tls = NodeTls::new(&own).map_err(|e| WorkerError::Tls(e.to_string()))?;
        let trusted = store.trust().map_err(identity)?;
        tls.revoke(trusted.revoked.clone());
        Ok(Self { store, identity: own, tls, trusted })
    }

    /// Keeps it good from now on; what coordinators say of trust goes into the sender.
    pub(crate) fn keep(
        self,
        coordinators: watch::Receiver<Vec<CoordinatorAddress>>,
        peers: Arc<PeerPool>,
        certificate: watch::Sender<Option<CertificateFacts>>,
        dial_timeout: Duration,
    ) -> watch::Sender<Trust> {
        let Self { store, identity, tls, trusted } = self;
        let known = Trust { ca_pem: String::new(), ..trusted };
        let (told, trust) = watch::channel(known);
        let keeper = IdentityKeeper {
            store,
            identity,
            tls,
            peers,
            coordinators,
            trust,
            certificate,
            dial_timeout,
        };
        tokio::spawn(keeper.run());
        told
    }
}

impl IdentityKeeper {
    /// Runs until the driver is gone.
    async fn run(mut self) {
        loop {
            let trust = self.trust.borrow_and_update().clone();
            let pause = match self.follow(trust).await {
                Ok(()) => self.until_renewal(),
                Err(error) => {
                    tracing::warn!(%error, "this node's certificate is not as it should be");
                    self.retry_pause()
                }
            };
            tokio::select! {
                changed = self.trust.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn follow(&mut self, trust: Trust) -> Result<(), WorkerError> {
        if !trust.ca_pem.is_empty() {
            self.revoke(&trust.revoked);
            if trust.ca_pem != self.identity.ca_pem {
                let certificate = self.identity.certificate_pem.clone();
                self.take(&certificate, &trust.ca_pem)?;
            }
            self.store.save_trust(&trust).map_err(identity)?;
        }
        let facts = self.identity.certificate().map_err(identity)?;
        let current = CaFingerprint::of_pem(&self.identity.ca_pem).map_err(identity)?;
        if facts.ca != Some(current) || now() >= facts.renewal_due_at() {
            self.renew().await?;
        }
        Ok(())
    }

    fn revoke(&self, nodes: &BTreeSet<NodeId>) {
        self.tls.revoke(nodes.clone());
        for node in nodes {
            self.peers.cut(*node);
        }
    }

    /// From whichever coordinator answers first.
    async fn renew(&mut self) -> Result<(), WorkerError> {
        let csr_pem = self.identity.key().and_then(|key| key.signing_request());
        let request = RenewRequest { csr_pem: csr_pem.map_err(identity)? };
        let coordinators = self.coordinators.borrow().clone();
        let mut last = WorkerError::NoCoordinator;
        for coordinator in &coordinators {
            match ask(&self.tls, coordinator, &request, self.dial_timeout).await {
                Ok(answer) => {
                    self.take(&answer.certificate_pem, &answer.ca_pem)?;
                    let facts = self.identity.certificate().map_err(identity)?;
                    tracing::info!(expires_at = facts.expires_at, "certificate renewed");
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn take(&mut self, certificate_pem: &str, ca_pem: &str) -> Result<(), WorkerError> {
        let renewed = self.identity.renewed(certificate_pem, ca_pem).map_err(identity)?;
        self.store.save(&renewed).map_err(identity)?;
        self.tls.replace(&renewed).map_err(|error| WorkerError::Tls(error.to_string()))?;
        self.certificate.send_replace(renewed.certificate().ok());
        self.identity = renewed;
        Ok(())
    }

    fn until_renewal(&self) -> Duration {
        let due = self.identity.certificate().map_or(0, |facts| facts.renewal_due_at());
        Duration::from_secs(due.saturating_sub(now())).clamp(LOOK_MIN, LOOK_MAX)
    }

    /// Often enough for many attempts before the certificate expires.
    fn retry_pause(&self) -> Duration {
        let left = self.identity.certificate().map_or(0, |f| f.expires_at.saturating_sub(now()));
        (Duration::from_secs(left) / 20).clamp(LOOK_MIN, RETRY_MAX)
    }
}

async fn ask(
    tls: &NodeTls,
    coordinator: &CoordinatorAddress,
    request: &RenewRequest,
    dial_timeout: Duration,
) -> Result<RenewResponse, WorkerError> {
    let address = coordinator.address.clone();
    let failed = |reason: String| WorkerError::Rpc { address: coordinator.address.clone(), reason };
    let config = tls.client(Some(coordinator.node), GRPC_ALPN);
    let config = config.map_err(|error| WorkerError::Tls(error.to_string()))?;
    let target = GrpcTarget { address, tls: Arc::new(config), dial_timeout };
    let channel = target.connect().await.map_err(|error| failed(error.to_string()))?;
    let envelope = Envelope::pack("RenewRequest", request)?;
    let mut client = IdentityClient::new(channel);
    let answered = tokio::time::timeout(ANSWER_TIMEOUT, client.renew(envelope)).await;
    let answered = answered.map_err(|_| failed("it did not answer in time".to_owned()))?;
    let answer = answered.map_err(|status| failed(status.message().to_owned()))?;
    Ok(answer.into_inner().unpack("RenewResponse")?)
}

fn identity(error: protocol::identity::IdentityError) -> WorkerError {
    WorkerError::Identity(error.to_string())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
