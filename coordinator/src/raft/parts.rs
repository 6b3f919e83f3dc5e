//! What a coordinator takes part in the group with: its files, opened, and its settings.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::{Config, SnapshotPolicy};
#[cfg(feature = "testing")]
use protocol::control::LOG_LEVEL;
use protocol::ids::NodeId;
use tokio::sync::watch;

use super::dial::Dialer;
use super::log_store::LogStore;
use super::node::ConsensusConfig;
use super::snapshot::SnapshotFile;
use super::state_machine::StateMachine;
use crate::error::CoordinatorError;
use crate::host;
use crate::state::State;

const OPEN_TRIES: u32 = 60;
const OPEN_PAUSE: Duration = Duration::from_millis(50);

/// What a coordinator takes part with, opened.
pub(crate) struct Parts {
    pub(super) own: NodeId,
    pub(super) address: String,
    pub(super) options: Config,
    pub(super) patience: Duration,
    pub(super) log_level: u32,
    pub(super) dialer: Dialer,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) log: LogStore,
    pub(super) machine: (StateMachine, watch::Receiver<Arc<State>>),
}

impl Parts {
    pub(super) async fn open(config: ConsensusConfig) -> Result<Self, CoordinatorError> {
        let (log, machine) = open_store(&config.data_dir, config.log_level).await?;
        Ok(Self {
            own: config.tls.own().node,
            address: config.address.clone(),
            options: options(&config),
            patience: 3 * config.election,
            log_level: config.log_level,
            dialer: Dialer::Tls(config.tls),
            data_dir: Some(config.data_dir),
            log,
            machine,
        })
    }

    #[cfg(feature = "testing")]
    pub(crate) fn simulated(setting: crate::testing::Setting) -> Result<Self, CoordinatorError> {
        let failed = |error: io::Error| CoordinatorError::Store {
            path: "simulated".into(),
            reason: error.to_string(),
        };
        Ok(Self {
            own: setting.own,
            address: setting.address,
            options: Config {
                snapshot_policy: SnapshotPolicy::LogsSinceLast(setting.snapshot_every),
                max_in_snapshot_log_to_keep: setting.snapshot_keeps,
                ..timed(setting.heartbeat, setting.election)
            },
            patience: 3 * setting.election,
            log_level: LOG_LEVEL,
            dialer: Dialer::Simulated(setting.wire),
            data_dir: None,
            log: LogStore::on(setting.database).map_err(failed)?,
            machine: StateMachine::open(SnapshotFile::simulated(setting.snapshot), LOG_LEVEL)
                .map_err(failed)?,
        })
    }
}

/// Log and snapshot, if they belong together.
pub(super) async fn open_store(
    data_dir: &Path,
    log_level: u32,
) -> Result<(LogStore, (StateMachine, watch::Receiver<Arc<State>>)), CoordinatorError> {
    let path = data_dir.join("raft.redb");
    let mut log = open_log(&path).await.map_err(|e| CoordinatorError::store(&path, &e))?;
    let purged = log.get_log_state().await.map_err(|e| CoordinatorError::store(&path, &e))?;
    let snapshot = SnapshotFile::at(&data_dir.join("snapshot.json"));
    let of_snapshot = |e: io::Error| CoordinatorError::store(snapshot.path(), &e);
    let (mut machine, state) =
        StateMachine::open(snapshot.clone(), log_level).map_err(of_snapshot)?;
    let (applied, _) = machine.applied_state().await.map_err(of_snapshot)?;
    if let Some(purged) = purged.last_purged_log_id.filter(|purged| Some(*purged) > applied) {
        let end = applied.map_or("it is missing".to_owned(), |a| format!("it ends at {}", a.index));
        return Err(CoordinatorError::Damaged {
            path: snapshot.path().to_owned(),
            reason: format!("{end}, the log only begins behind entry {}", purged.index),
        });
    }
    Ok((log, (machine, state)))
}

/// A predecessor may still be closing the file.
async fn open_log(path: &Path) -> io::Result<LogStore> {
    let mut left = OPEN_TRIES;
    loop {
        match LogStore::open(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && left > 0 => left -= 1,
            opened => return opened,
        }
        host::sleep(OPEN_PAUSE).await;
    }
}

fn options(config: &ConsensusConfig) -> Config {
    Config {
        cluster_name: config.tls.own().cluster.clone(),
        ..timed(config.heartbeat, config.election)
    }
}

fn timed(heartbeat: Duration, election: Duration) -> Config {
    Config {
        heartbeat_interval: heartbeat.as_millis() as u64,
        election_timeout_min: election.as_millis() as u64,
        election_timeout_max: 2 * election.as_millis() as u64,
        install_snapshot_timeout: 10_000,
        max_payload_entries: 64,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(2000),
        max_in_snapshot_log_to_keep: 500,
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        ..Config::default()
    }
}
