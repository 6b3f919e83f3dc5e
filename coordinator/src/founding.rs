//! The first coordinator of a cluster: its CA, its identity, the first entries of the log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::admin::KeyRole;
use protocol::control::{CoordinatorAddress, CoordinatorEndpoint, Role};
use protocol::identity::{ClusterCa, Identity, IdentityStore, RecoveryKey, SealingPublic};
use protocol::ids::NodeId;
use protocol::transport::NodeTls;
use ulid::Ulid;
use zeroize::Zeroizing;

use crate::api_key::ApiKey;
use crate::config::Config;
use crate::destruction;
use crate::error::CoordinatorError;
use crate::raft::{Consensus, ConsensusConfig};
use crate::state::{Actor, Change, IdentityChange};

/// What a new cluster is called, and where its first coordinator will be reached.
#[derive(Clone, Debug)]
pub struct InitOptions {
    pub data_dir: PathBuf,
    /// 1 to 63 of `a-z`, `0-9`, `-`.
    pub cluster: String,
    /// The node's own name.
    pub name: String,
    /// `host:port` of node traffic.
    pub address: String,
    /// `host:port` of the API.
    pub api_address: String,
}

#[derive(Clone, Debug)]
pub struct Initialised {
    pub node: NodeId,
    pub ca_pem: String,
    /// Shown once; only its hash is kept.
    pub admin_key: String,
    /// Shown once; only its public half is kept.
    pub recovery_key: Zeroizing<String>,
}

/// Makes the data directory that of a cluster's first coordinator, which `run` then starts.
/// A founding that was interrupted is completed; one that is complete is an error.
pub async fn init(options: InitOptions) -> Result<Initialised, CoordinatorError> {
    destruction::refuse(&options.data_dir)?;
    let store = IdentityStore::open(&options.data_dir)?;
    // A new one at each attempt, as the one of an interrupted attempt was never shown.
    let recovery = RecoveryKey::generate();
    let identity = match store.load()? {
        Some(identity) => check(identity, &options)?,
        None => make_identity(&store, &options.cluster)?,
    };
    let node = identity.peer.node;
    let (address, api_address) = (options.address.clone(), options.api_address.clone());
    store.save_coordinators(&[CoordinatorAddress { node, address, api_address }])?;
    let defaults = Config::new(options.data_dir.clone());
    let consensus = Consensus::start(ConsensusConfig {
        data_dir: options.data_dir.clone(),
        address: options.address.clone(),
        tls: NodeTls::new(&identity)?,
        // Nobody else can be leader: no need to wait long before standing for it.
        heartbeat: defaults.raft_heartbeat / 4,
        election: defaults.raft_election / 4,
        log_level: defaults.log_level,
    })
    .await?;
    let written = write_first_entries(&consensus, &options, &identity, || {
        store.save_recovery(recovery.public())?;
        let ca =
            store.load_ca()?.ok_or(CoordinatorError::NoCa { path: options.data_dir.clone() })?;
        store.save_ca(&ca)?;
        Ok(recovery.public())
    })
    .await;
    consensus.shutdown().await;
    let (admin_key, recovery_key) = (written?, recovery.expose());
    Ok(Initialised { node, ca_pem: identity.ca_pem, admin_key, recovery_key })
}

pub(crate) fn coordinator_identity(
    identity: Identity,
    data_dir: &Path,
) -> Result<Identity, CoordinatorError> {
    match identity.peer.role {
        Role::Coordinator => Ok(identity),
        Role::Worker => {
            let found = identity.peer.role.name();
            Err(CoordinatorError::WrongRole { path: data_dir.to_owned(), found })
        }
    }
}

fn check(identity: Identity, founding: &InitOptions) -> Result<Identity, CoordinatorError> {
    let identity = coordinator_identity(identity, &founding.data_dir)?;
    if identity.peer.cluster != founding.cluster {
        return Err(CoordinatorError::OtherCluster {
            path: founding.data_dir.clone(),
            found: identity.peer.cluster,
            wanted: founding.cluster.clone(),
        });
    }
    Ok(identity)
}

fn make_identity(store: &IdentityStore, cluster: &str) -> Result<Identity, CoordinatorError> {
    let ca = match store.load_ca()? {
        Some(ca) => ca,
        None => ClusterCa::create(cluster)?,
    };
    store.save_ca(&ca)?;
    let key = store.node_key()?;
    let signed = ca.sign_node(&key.signing_request()?, Role::Coordinator)?;
    let identity = Identity::new(&key, signed.certificate_pem, ca.certificate_pem().to_owned())?;
    store.save(&identity)?;
    Ok(identity)
}

async fn write_first_entries(
    consensus: &Consensus,
    founding: &InitOptions,
    identity: &Identity,
    seal_ca: impl FnOnce() -> Result<SealingPublic, CoordinatorError>,
) -> Result<String, CoordinatorError> {
    consensus.found().await?;
    consensus.wait_for_leader(Duration::from_secs(10)).await?;
    let propose = |change| consensus.propose_by(Actor::Local, None, change);
    if consensus.state().cluster.is_empty() {
        let (name, ca_pem) = (founding.cluster.clone(), identity.ca_pem.clone());
        propose(Change::FoundCluster { name, ca_pem }).await?;
    }
    let node = identity.peer.node;
    if consensus.state().members.contains_key(&node) {
        return Err(CoordinatorError::Founded { path: founding.data_dir.clone() });
    }
    let public = seal_ca()?;
    propose(Change::Identity(IdentityChange::SetRecovery { public })).await?;
    // The member last: as long as it is missing, the founding can be repeated.
    let key = ApiKey::generate()?;
    let (name, hash, prefix) = (format!("admin-{}", Ulid::new()), key.hash(), key.prefix());
    propose(Change::AddKey { name, role: KeyRole::Admin, hash, prefix }).await?;
    let endpoint = CoordinatorEndpoint::new(&founding.address, &founding.api_address);
    let name = founding.name.clone();
    let (role, endpoint) = (Role::Coordinator, Some(endpoint));
    propose(Change::AdmitNode { node, name, role, token: None, endpoint }).await?;
    Ok(key.expose().to_owned())
}
