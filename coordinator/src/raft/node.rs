//! One coordinator's part in the group: started from its folder, read without waiting.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Config, ReadPolicy, ServerState};
use protocol::ids::NodeId;
use protocol::transport::NodeTls;
use tokio::sync::watch;

use super::dial::Dialer;
use super::keeper::Outage;
use super::network::Network;
use super::parts::{self, Parts};
use super::type_config::{Raft, Voter, VoterId};
use crate::error::CoordinatorError;
use crate::events::EventLog;
use crate::host::{self, Instant};
use crate::state::State;

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
    /// Replaced where it had to be started again.
    raft: RwLock<Raft>,
    options: Arc<Config>,
    /// `None` where log and snapshot are simulated.
    data_dir: Option<PathBuf>,
    published: watch::Sender<Arc<State>>,
    outage: watch::Sender<Option<Outage>>,
    own: NodeId,
    address: String,
    log_level: u32,
    dialer: Dialer,
    state: watch::Receiver<Arc<State>>,
    events: Arc<EventLog>,
    /// Longest silence that still counts as being led.
    patience: Duration,
    started: Instant,
    /// Milliseconds after `started` at which a leader last called; 0 for never.
    heard: AtomicU64,
    /// Who called last as a leader does, also while this coordinator takes no part.
    caller: RwLock<Option<NodeId>>,
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
        Self::start_on(Parts::open(config).await?).await
    }

    /// Takes part with what was opened.
    pub(crate) async fn start_on(parts: Parts) -> Result<Self, CoordinatorError> {
        let Parts { own, address, options, patience, log_level, .. } = parts;
        let Parts { dialer, data_dir, log, machine, .. } = parts;
        let (machine, state) = machine;
        let published = machine.publisher();
        let events = machine.events();
        let network = Network { dialer: dialer.clone() };
        let options = Arc::new(options.validate().map_err(CoordinatorError::raft)?);
        let raft = Raft::new(VoterId(own), Arc::clone(&options), network, log, machine)
            .await
            .map_err(CoordinatorError::raft)?;
        Ok(Self {
            raft: RwLock::new(raft),
            options,
            data_dir,
            published,
            outage: watch::channel(None).0,
            own,
            address,
            log_level,
            dialer,
            state,
            events,
            patience,
            started: Instant::now(),
            heard: AtomicU64::new(0),
            caller: RwLock::new(None),
        })
    }

    /// Takes part anew with what is on the disk, after the part before has ended.
    pub(super) async fn restart(&self) -> Result<(), CoordinatorError> {
        let Some(data_dir) = &self.data_dir else { return Ok(()) };
        let (log, (mut machine, _)) = parts::open_store(data_dir, self.log_level).await?;
        machine.publish_to(self.published.clone(), Arc::clone(&self.events));
        let network = Network { dialer: self.dialer.clone() };
        let options = Arc::clone(&self.options);
        let raft = Raft::new(VoterId(self.own), options, network, log, machine)
            .await
            .map_err(CoordinatorError::raft)?;
        *self.raft.write().unwrap_or_else(PoisonError::into_inner) = raft;
        Ok(())
    }

    /// Makes this coordinator the only voter of a new group; nothing if there is a group already.
    pub async fn found(&self) -> Result<(), CoordinatorError> {
        let raft = self.raft();
        if raft.is_initialized().await.map_err(CoordinatorError::raft)? {
            return Ok(());
        }
        let voter = Voter { address: self.address.clone() };
        let members = BTreeMap::from([(VoterId(self.own), voter)]);
        raft.initialize(members).await.map_err(CoordinatorError::raft)
    }

    pub(crate) async fn wait_for_leader(&self, limit: Duration) -> Result<(), CoordinatorError> {
        let raft = self.raft();
        let waiting = raft.wait(Some(limit));
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

    pub(crate) fn events(&self) -> &Arc<EventLog> {
        &self.events
    }

    pub fn watch_state(&self) -> watch::Receiver<Arc<State>> {
        self.state.clone()
    }

    pub fn status(&self) -> ConsensusStatus {
        let raft = self.raft();
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: Vec<_> = membership.voter_ids().map(|id| id.0).collect();
        let learners = membership.learner_ids().map(|id| id.0).collect();
        // What stopped keeps the state it had.
        let takes_part = metrics.running_state.is_ok();
        let is_leader = takes_part && metrics.state == ServerState::Leader;
        let leader = metrics.current_leader.filter(|_| takes_part).map(|id| id.0);
        let acked = metrics.last_quorum_acked.as_ref();
        let acked = acked.is_some_and(|at| at.elapsed() < self.patience);
        let hears = self.silence().is_some_and(|silence| silence < self.patience);
        let led = leader.is_some() && hears;
        let alone = voters == [self.own];
        ConsensusStatus {
            leader,
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
        let raft = self.raft();
        let reading = raft.ensure_linearizable(ReadPolicy::ReadIndex);
        matches!(host::within(self.patience, reading).await, Some(Ok(_)))
    }

    /// How long `node` has not answered this leader, if that is too long; `None` also when this
    /// coordinator does not lead, as followers do not hear of each other.
    pub fn silence_of(&self, node: NodeId) -> Option<Duration> {
        if node == self.own {
            return None;
        }
        let raft = self.raft();
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.running_state.as_ref().ok()?;
        let answered = metrics.heartbeat.as_ref()?.get(&VoterId(node))?;
        let silence = answered.as_ref().map_or(Duration::MAX, |at| at.elapsed());
        (silence > self.patience).then_some(silence.min(self.started.elapsed()))
    }

    pub(crate) fn log_level(&self) -> u32 {
        self.log_level
    }

    /// Whether Raft's own task answers: one that hangs or has failed does not.
    pub(crate) async fn turns(&self) -> bool {
        let raft = self.raft();
        let asking = raft.with_raft_state(|_| ());
        matches!(tokio::time::timeout(self.patience, asking).await, Ok(Ok(())))
    }

    /// Stops taking part; what is on disk is complete.
    pub async fn shutdown(&self) {
        if let Err(error) = self.raft().shutdown().await {
            tracing::warn!(%error, "the Raft task ended badly");
        }
    }

    pub(crate) fn raft(&self) -> Raft {
        self.raft.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why this coordinator takes no part in the group, if it does not.
    pub(crate) fn outage(&self) -> Option<Outage> {
        self.outage.borrow().clone()
    }

    pub(super) fn set_outage(&self, outage: Option<Outage>) {
        self.outage.send_replace(outage);
    }

    pub(super) fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// As people know it.
    pub(super) fn own_name(&self) -> String {
        let state = self.state();
        state.members.get(&self.own).map_or_else(|| self.own.short(), |m| m.name.clone())
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Notes a call that only a leader makes.
    pub(crate) fn called_by(&self, node: NodeId) {
        *self.caller.write().unwrap_or_else(PoisonError::into_inner) = Some(node);
    }

    /// Who led when this coordinator last heard of it.
    pub(super) fn caller(&self) -> Option<NodeId> {
        *self.caller.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn heard_leader(&self) {
        let now = self.started.elapsed().as_millis() as u64;
        self.heard.store(now.max(1), Ordering::Relaxed);
    }

    /// Since a leader last called; `None` for never.
    pub(super) fn silence(&self) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Relaxed);
        let since = || self.started.elapsed().saturating_sub(Duration::from_millis(heard));
        (heard != 0).then(since)
    }
}
