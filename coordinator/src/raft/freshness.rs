//! How fresh this coordinator's state is, and how to wait until it is as fresh as the leader's.

use std::time::Duration;

use openraft::ReadPolicy;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::{Instant as _, ServerState};
use protocol::ids::NodeId;
use protocol::rpc::Envelope;
use serde::{Deserialize, Serialize};

use super::node::Consensus;
use super::propose::{Attempt, PROPOSE_TIMEOUT, ProposeError, RETRY};
use crate::host;

/// What a reader may expect of an answer from this coordinator's own copy of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Log index of the last entry in the state.
    pub applied_index: u64,
    /// Whether it leads, or hears the leader: only then is its state known to be recent.
    pub is_led: bool,
    /// Since when it cannot know of anything newer; `None` if it never heard a leader.
    pub age: Option<Duration>,
}

/// The answer to a follower that asks how far it has to be.
#[derive(Serialize, Deserialize)]
pub(crate) enum ReadPosition {
    /// Everything that was acknowledged before the question is at or below this index.
    Index(u64),
    /// Ask this one, if known.
    NotLeader(Option<NodeId>),
}

impl Consensus {
    pub fn freshness(&self) -> Freshness {
        let raft = self.raft();
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let leads = metrics.state == ServerState::Leader && metrics.running_state.is_ok();
        let alone = metrics.membership_config.membership().voter_ids().count() == 1;
        let age = match leads {
            true if alone => Some(Duration::ZERO),
            true => metrics.last_quorum_acked.as_ref().map(|at| at.elapsed()),
            false => self.silence(),
        };
        Freshness {
            applied_index: self.state().applied,
            is_led: age.is_some_and(|age| age < self.patience()),
            age,
        }
    }

    /// Returns once the state holds everything that any coordinator acknowledged before the call.
    pub async fn catch_up(&self) -> Result<(), ProposeError> {
        let mut last = "no leader is known".to_owned();
        let tries = async {
            let index = loop {
                match self.read_position().await {
                    Ok(index) => break index,
                    Err(Attempt::Fatal(reason)) => return Err(ProposeError::Failed(reason)),
                    Err(Attempt::NoRoom(shortage)) => return Err(ProposeError::NoRoom(shortage)),
                    Err(Attempt::Retry(reason)) => last = reason,
                }
                host::sleep(RETRY).await;
            };
            last = format!("this coordinator has not applied entry {index} yet");
            self.applied(index).await;
            Ok(())
        };
        let tried = host::within(PROPOSE_TIMEOUT, tries).await;
        tried.unwrap_or(Err(ProposeError::NoQuorum { reason: last }))
    }

    /// Waits until the state holds the entry at `index`.
    pub(super) async fn applied(&self, index: u64) {
        let mut state = self.watch_state();
        let _ = state.wait_for(|state| state.applied >= index).await;
    }

    /// The leader's answer, after a round of heartbeats that proves that it still leads.
    pub(crate) async fn own_read_position(&self) -> Result<ReadPosition, String> {
        match self.raft().get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(reading) => Ok(ReadPosition::Index(reading.read_log_id().index())),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => {
                Ok(ReadPosition::NotLeader(to.leader_id.map(|id| id.0)))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn read_position(&self) -> Result<u64, Attempt> {
        let leader = self.leader()?;
        let answer = if leader == self.own() {
            self.own_read_position().await.map_err(Attempt::Retry)?
        } else {
            let mut client = self.client_of(leader)?;
            let asked = client.read_index(Envelope { payload: Vec::new() }).await;
            let answered = asked.map_err(|s| Attempt::Retry(s.message().to_owned()))?;
            let answer = answered.into_inner().unpack("ReadPosition");
            answer.map_err(|e| Attempt::Fatal(e.to_string()))?
        };
        match answer {
            ReadPosition::Index(index) => Ok(index),
            ReadPosition::NotLeader(_) => Err(Attempt::Retry("the leader is changing".into())),
        }
    }
}
