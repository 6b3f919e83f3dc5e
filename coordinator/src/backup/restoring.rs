//! A cluster anew from a snapshot: the same state, one coordinator, another CA.

use std::path::PathBuf;
use std::time::Duration;

use protocol::control::{CoordinatorAddress, CoordinatorEndpoint, Role};
use protocol::identity::{ClusterCa, Identity, IdentityStore, RecoveryKey};
use protocol::ids::NodeId;
use protocol::transport::NodeTls;

use super::file::{self, Opened};
use crate::config::Config;
use crate::error::CoordinatorError;
use crate::raft::{self, Consensus, ConsensusConfig};
use crate::state::{Actor, Change, Command, Outcome, SnapshotChange, State};

const LEADER_WAIT: Duration = Duration::from_secs(10);

/// What to restore, and where the one coordinator of the cluster will be reached.
#[derive(Debug)]
pub struct RestoreOptions {
    pub file: Vec<u8>,
    pub key: RecoveryKey,
    /// Holds nothing of a node yet.
    pub data_dir: PathBuf,
    /// The node's own name; no other member has it.
    pub name: String,
    pub address: String,
    pub api_address: String,
}

#[derive(Clone, Debug)]
pub struct Restored {
    pub cluster: String,
    pub node: NodeId,
    pub ca_pem: String,
    pub generation: u64,
    /// Log index of the snapshot.
    pub index: u64,
}

/// Makes the data directory that of a coordinator, which `run` then starts. The new CA is what
/// keeps the old cluster's nodes out, and this one's nodes out of the old cluster. The node's
/// certificate is written last: before it is there, nothing starts.
pub async fn restore(options: RestoreOptions) -> Result<Restored, CoordinatorError> {
    let Opened { header, state, ca: old } = file::open(&options.file, options.key.secret())?;
    check_empty(&options)?;
    let store = IdentityStore::open(&options.data_dir)?;
    let ca = ClusterCa::create(old.cluster())?;
    let key = store.node_key()?;
    let signed = ca.sign_node(&key.signing_request()?, Role::Coordinator)?;
    let identity = Identity::new(&key, signed.certificate_pem, ca.certificate_pem().to_owned())?;
    let state = anew(state, &options, &ca, identity.peer.node)?;
    let generation = state.snapshots.restored.as_ref().map_or(0, |r| r.generation);
    raft::seed(&options.data_dir, identity.peer.node, &options.address, state).await?;
    store.save_recovery(options.key.public())?;
    store.save_ca(&ca)?;
    let RestoreOptions { address, api_address, .. } = &options;
    store.save_coordinators(&[CoordinatorAddress {
        node: identity.peer.node,
        address: address.clone(),
        api_address: api_address.clone(),
    }])?;
    try_out(&options, &identity).await?;
    store.save(&identity)?;
    Ok(Restored {
        cluster: header.cluster,
        node: identity.peer.node,
        ca_pem: identity.ca_pem,
        generation,
        index: header.index,
    })
}

fn check_empty(options: &RestoreOptions) -> Result<(), CoordinatorError> {
    let path = &options.data_dir;
    let used = ["identity/node.crt", "identity/node.key", "raft.redb", "snapshot.json"];
    match used.iter().find(|name| path.join(name).exists()) {
        Some(found) => Err(CoordinatorError::NotEmpty { path: path.clone(), found }),
        None => Ok(()),
    }
}

fn anew(
    mut state: State,
    options: &RestoreOptions,
    ca: &ClusterCa,
    node: NodeId,
) -> Result<State, CoordinatorError> {
    let name = options.name.clone();
    if state.members.values().any(|member| member.name == name) {
        return Err(CoordinatorError::NameTaken { name });
    }
    let (address, api_address) = (options.address.clone(), options.api_address.clone());
    let endpoint = CoordinatorEndpoint::new(address, api_address);
    let ca_pem = ca.certificate_pem().to_owned();
    let restore = SnapshotChange::Restore { ca_pem, node, name, endpoint };
    let index = state.applied + 1;
    // Somebody at this machine, who has the recovery key.
    let command = Command::new(raft::wall_clock(), Change::Snapshot(restore));
    let command = Command { actor: Actor::Local, ..command };
    match state.apply(command, index) {
        Outcome::Refused(refusal) => Err(CoordinatorError::BadSnapshot { reason: refusal.message }),
        _ => Ok(state),
    }
}

/// Raft must take what was written as its own.
async fn try_out(options: &RestoreOptions, identity: &Identity) -> Result<(), CoordinatorError> {
    let defaults = Config::new(options.data_dir.clone());
    let consensus = Consensus::start(ConsensusConfig {
        data_dir: options.data_dir.clone(),
        address: options.address.clone(),
        tls: NodeTls::new(identity)?,
        heartbeat: defaults.raft_heartbeat / 4,
        election: defaults.raft_election / 4,
        log_level: defaults.log_level,
    })
    .await?;
    let led = consensus.wait_for_leader(LEADER_WAIT).await;
    consensus.shutdown().await;
    led
}
