//! One coordinator's part in the group: started from its folder, read without waiting.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::{Config, ReadPolicy, ServerState, SnapshotPolicy};
#[cfg(feature = "testing")]
use protocol::control::LOG_LEVEL;
use protocol::ids::NodeId;
use protocol::transport::NodeTls;
use tokio::sync::watch;

use super::dial::Dialer;
use super::log_store::LogStore;
use super::network::Network;
use super::snapshot::SnapshotFile;
use super::state_machine::StateMachine;
use super::type_config::{Raft, Voter, VoterId};
use crate::error::CoordinatorError;
use crate::host::{self, Instant};
use crate::state::State;

const OPEN_TRIES: u32 = 60;
const OPEN_PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub struct ConsensusConfig {
    pub data_dir: PathBuf,
    /// `host:port` under which the other coordinators reach this one.
    pub address: String,
    pub tls: NodeTls,
    pub heartbeat: Duration,
    /// A follower that hears nothing this long stands for election; up to twice as long, so that
    /// two seldom stand at once.
    pub election: Duration,
    /// Highest level of the log's format that this node speaks.
    pub log_level: u32,
}

pub struct Consensus {
    raft: Raft,
    own: NodeId,
    address: String,
    log_level: u32,
    dialer: Dialer,
    state: watch::Receiver<Arc<State>>,
    /// Longest silence that still counts as being led.
    patience: Duration,
    started: Instant,
    /// Milliseconds after `started` at which a leader last called; 0 for never.
    heard: AtomicU64,
}

/// What a coordinator takes part with, opened.
pub(crate) struct Parts {
    own: NodeId,
    address: String,
    options: Config,
    patience: Duration,
    log_level: u32,
    dialer: Dialer,
    log: LogStore,
    machine: (StateMachine, watch::Receiver<Arc<State>>),
}

/// The group as this coordinator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsensusStatus {
    pub leader: Option<NodeId>,
    pub is_leader: bool,
    pub term: u64,
    pub commit_index: u64,
    pub has_quorum: bool,
    pub voters: Vec<NodeId>,
    pub learners: Vec<NodeId>,
}

impl Consensus {
    /// Opens `raft.redb` and `snapshot.json` in the data directory and takes part from then on.
    pub async fn start(config: ConsensusConfig) -> Result<Self, CoordinatorError> {
        let (log, machine) = open_store(&config.data_dir, config.log_level).await?;
        let parts = Parts {
            own: config.tls.own().node,
            address: config.address.clone(),
            options: options(&config),
            patience: 3 * config.election,
            log_level: config.log_level,
            dialer: Dialer::Tls(config.tls),
            log,
            machine,
        };
        Self::start_on(parts).await
    }

    /// Takes part with what was opened.
    pub(crate) async fn start_on(parts: Parts) -> Result<Self, CoordinatorError> {
        let Parts { own, address, options, patience, log_level, dialer, log, machine } = parts;
        let (machine, state) = machine;
        let network = Network { dialer: dialer.clone() };
        let options = Arc::new(options.validate().map_err(CoordinatorError::raft)?);
        let raft = Raft::new(VoterId(own), options, network, log, machine)
            .await
            .map_err(CoordinatorError::raft)?;
        Ok(Self {
            raft,
            own,
            address,
            log_level,
            dialer,
            state,
            patience,
            started: Instant::now(),
            heard: AtomicU64::new(0),
        })
    }

    /// Makes this coordinator the only voter of a new group; nothing if there is a group already.
    pub async fn found(&self) -> Result<(), CoordinatorError> {
        if self.raft.is_initialized().await.map_err(CoordinatorError::raft)? {
            return Ok(());
        }
        let voter = Voter { address: self.address.clone() };
        let members = BTreeMap::from([(VoterId(self.own), voter)]);
        self.raft.initialize(members).await.map_err(CoordinatorError::raft)
    }

    pub(crate) async fn wait_for_leader(&self, limit: Duration) -> Result<(), CoordinatorError> {
        let waiting = self.raft.wait(Some(limit));
        let led = waiting.metrics(|m| m.current_leader.is_some(), "a leader").await;
        led.map(drop).map_err(CoordinatorError::raft)
    }

    pub fn own(&self) -> NodeId {
        self.own
    }

    /// The state as far as this coordinator applied the log.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    pub fn watch_state(&self) -> watch::Receiver<Arc<State>> {
        self.state.clone()
    }

    pub fn status(&self) -> ConsensusStatus {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: Vec<_> = membership.voter_ids().map(|id| id.0).collect();
        let learners = membership.learner_ids().map(|id| id.0).collect();
        let is_leader = metrics.state == ServerState::Leader;
        let acked = metrics.last_quorum_acked.as_ref();
        let acked = acked.is_some_and(|at| at.elapsed() < self.patience);
        let led = metrics.current_leader.is_some() && self.silence() < self.patience;
        let alone = voters == [self.own];
        ConsensusStatus {
            leader: metrics.current_leader.map(|id| id.0),
            is_leader,
            term: metrics.current_term,
            commit_index: metrics.local_committed.map_or(0, |id| id.index),
            has_quorum: if is_leader { alone || acked } else { led },
            voters,
            learners,
        }
    }

    /// True once this leader's state holds everything that earlier leaders committed.
    pub(crate) async fn caught_up(&self) -> bool {
        let reading = self.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        matches!(host::within(self.patience, reading).await, Some(Ok(_)))
    }

    /// How long `node` has not answered this leader, if that is too long; `None` also when this
    /// coordinator does not lead, as followers do not hear of each other.
    pub fn silence_of(&self, node: NodeId) -> Option<Duration> {
        if node == self.own {
            return None;
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let answered = metrics.heartbeat.as_ref()?.get(&VoterId(node))?;
        let silence = answered.as_ref().map_or(Duration::MAX, |at| at.elapsed());
        (silence > self.patience).then_some(silence.min(self.started.elapsed()))
    }

    /// Waits until this coordinator can no longer take part, and says why.
    pub async fn failed(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_watched().running_state {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return "it was stopped".to_owned();
            }
        }
    }

    pub(crate) fn log_level(&self) -> u32 {
        self.log_level
    }

    /// Stops taking part; what is on disk is complete.
    pub async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the Raft task ended badly");
        }
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.raft
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    pub(crate) fn heard_leader(&self) {
        let now = self.started.elapsed().as_millis() as u64;
        self.heard.store(now.max(1), Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        let heard = self.heard.load(Ordering::Relaxed);
        if heard == 0 {
            return Duration::MAX;
        }
        self.started.elapsed().saturating_sub(Duration::from_millis(heard))
    }
}

/// Log and snapshot, if they belong together.
async fn open_store(
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
        ..Config::default()
    }
}

#[cfg(feature = "testing")]
impl Parts {
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
            log: LogStore::on(setting.database).map_err(failed)?,
            machine: StateMachine::open(SnapshotFile::simulated(setting.snapshot), LOG_LEVEL)
                .map_err(failed)?,
        })
    }
}
