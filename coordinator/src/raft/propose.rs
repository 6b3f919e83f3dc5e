//! Getting a command into the log, from whichever coordinator it starts.

use std::time::Duration;

use openraft::errors::{ClientWriteError, RaftError};
use protocol::ids::NodeId;
use protocol::rpc::Envelope;
use protocol::rpc::raft_client::RaftClient;
use tonic::Code;

use super::dial::Link;
use super::node::Consensus;
use super::room::{OWN_RESERVE_BYTES, RESERVE_BYTES, Shortage};
use super::service::Forwarded;
use crate::error::CoordinatorError;
use crate::host;
use crate::state::{Actor, Change, Command, Outcome, Refusal, Timestamp};

/// Longer than an election, so that a change made while a leader dies still goes through.
pub(super) const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// A leader whose machine is off must not cost the whole wait: another may lead by then.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(1);
pub(super) const RETRY: Duration = Duration::from_millis(50);
/// A follower has applied a forwarded change a heartbeat later.
const READ_OWN_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    #[error("the coordinators have no quorum: {reason}")]
    NoQuorum { reason: String },
    #[error("{}", .0.message)]
    Refused(Refusal),
    #[error("the disk is full: {0}")]
    NoRoom(Shortage),
    #[error("the log failed: {0}")]
    Failed(String),
}

impl Consensus {
    /// Applies a change of the cluster's own once, however often it has to be sent; waits up to
    /// five seconds.
    pub async fn propose(&self, change: Change) -> Result<Outcome, ProposeError> {
        self.propose_by(Actor::System, None, change).await
    }

    /// Applies `change` as asked for by `actor`. Who asks again with the same `request` changes
    /// nothing and gets the first outcome.
    pub async fn propose_by(
        &self,
        actor: Actor,
        request: Option<String>,
        change: Change,
    ) -> Result<Outcome, ProposeError> {
        let request = request.unwrap_or_else(host::fresh_id);
        let command = Command { request, actor, ..Command::new(wall_clock(), change) };
        let mut last = "no leader is known".to_owned();
        let tries = async {
            loop {
                match self.attempt(&command).await {
                    Ok(outcome) => return Ok(outcome),
                    Err(Attempt::Fatal(reason)) => return Err(ProposeError::Failed(reason)),
                    Err(Attempt::NoRoom(shortage)) => return Err(ProposeError::NoRoom(shortage)),
                    Err(Attempt::Retry(reason)) => last = reason,
                }
                host::sleep(RETRY).await;
            }
        };
        let tried = host::within(PROPOSE_TIMEOUT, tries).await;
        match tried.unwrap_or(Err(ProposeError::NoQuorum { reason: last }))? {
            Outcome::Refused(refusal) => Err(ProposeError::Refused(refusal)),
            outcome => Ok(outcome),
        }
    }

    /// Writes `command` if this coordinator leads, at the level that all coordinators speak.
    pub(crate) async fn write(&self, command: Command) -> Result<Forwarded, CoordinatorError> {
        let reserve = if command.actor.is_person() { RESERVE_BYTES } else { OWN_RESERVE_BYTES };
        if let Some(shortage) = self.shortage(reserve) {
            return Ok(Forwarded::NoRoom(shortage));
        }
        let state = self.state();
        let command = match state.stamped(command, self.log_level()) {
            Ok(command) => command,
            Err(refusal) => {
                let (outcome, index) = (Outcome::Refused(refusal), state.applied);
                return Ok(Forwarded::Applied { outcome, index });
            }
        };
        match self.raft().client_write(command).await {
            Ok(written) => {
                let (index, outcome) = (written.log_id.index, written.data);
                Ok(Forwarded::Applied { outcome, index })
            }
            Err(RaftError::APIError(
                ClientWriteError::ForwardToLeader(to) | ClientWriteError::LogEntryDiscarded(to),
            )) => Ok(Forwarded::NotLeader(to.leader_id.map(|id| id.0))),
            Err(error) => Err(CoordinatorError::raft(error)),
        }
    }

    async fn attempt(&self, command: &Command) -> Result<Outcome, Attempt> {
        let leader = self.leader()?;
        let answer = if leader == self.own() {
            self.write(command.clone()).await.map_err(|e| Attempt::Retry(e.to_string()))?
        } else {
            self.forward(leader, command).await?
        };
        match answer {
            Forwarded::Applied { outcome, index } => {
                // Who proposed a change finds it in the state.
                host::within(READ_OWN_TIMEOUT, self.applied(index)).await;
                Ok(outcome)
            }
            Forwarded::NoRoom(shortage) => Err(Attempt::NoRoom(shortage)),
            Forwarded::NotLeader(_) => Err(Attempt::Retry("the leader is changing".into())),
        }
    }

    async fn forward(&self, leader: NodeId, command: &Command) -> Result<Forwarded, Attempt> {
        let mut client = self.client_of(leader)?;
        let envelope =
            Envelope::pack("Propose", command).map_err(|e| Attempt::Fatal(e.to_string()))?;
        let answered = host::within(FORWARD_TIMEOUT, client.propose(envelope)).await;
        let answered = answered.ok_or_else(|| {
            Attempt::Retry(format!("the leader did not answer within {FORWARD_TIMEOUT:?}"))
        })?;
        match answered {
            Ok(response) => {
                let unpacked = response.into_inner().unpack("Forwarded");
                unpacked.map_err(|e| Attempt::Fatal(e.to_string()))
            }
            Err(status) if status.code() == Code::PermissionDenied => {
                Err(Attempt::Fatal(status.message().to_owned()))
            }
            Err(status) => Err(Attempt::Retry(format!("the leader: {}", status.message()))),
        }
    }

    /// Whom to bring a change to.
    pub(super) fn leader(&self) -> Result<NodeId, Attempt> {
        let known = match self.outage() {
            Some(_) => self.caller(),
            None => self.status().leader,
        };
        known.ok_or_else(|| Attempt::Retry("no leader is known".into()))
    }

    pub(super) fn client_of(&self, node: NodeId) -> Result<RaftClient<Link>, Attempt> {
        let address = self
            .address_of(node)
            .ok_or_else(|| Attempt::Retry("the leader's address is not known".into()))?;
        self.dialer().client(node, &address).map_err(|e| Attempt::Retry(e.to_string()))
    }
}

pub(super) enum Attempt {
    Retry(String),
    Fatal(String),
    NoRoom(Shortage),
}

/// The proposer's clock; the state never lets it go back.
pub(crate) fn wall_clock() -> Timestamp {
    Timestamp(host::wall_clock())
}
