//! Getting a command into the log, from whichever coordinator it starts.

use std::time::Duration;

use openraft::errors::{ClientWriteError, RaftError};
use protocol::ids::NodeId;
use protocol::rpc::Envelope;
use tonic::Code;

use super::node::Consensus;
use super::service::Forwarded;
use crate::error::CoordinatorError;
use crate::host;
use crate::state::{Actor, Change, Command, Outcome, Refusal, Timestamp};

/// Longer than an election, so that a change made while a leader dies still goes through.
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    #[error("the coordinators have no quorum: {reason}")]
    NoQuorum { reason: String },
    #[error("{}", .0.message)]
    Refused(Refusal),
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
        let command = match self.state().stamped(command, self.log_level()) {
            Ok(command) => command,
            Err(refusal) => return Ok(Forwarded::Applied(Outcome::Refused(refusal))),
        };
        match self.raft().client_write(command).await {
            Ok(written) => Ok(Forwarded::Applied(written.data)),
            Err(RaftError::APIError(
                ClientWriteError::ForwardToLeader(to) | ClientWriteError::LogEntryDiscarded(to),
            )) => Ok(Forwarded::NotLeader(to.leader_id.map(|id| id.0))),
            Err(error) => Err(CoordinatorError::raft(error)),
        }
    }

    async fn attempt(&self, command: &Command) -> Result<Outcome, Attempt> {
        let status = self.status();
        let leader = status.leader.ok_or_else(|| Attempt::Retry("no leader is known".into()))?;
        let answer = if leader == self.own() {
            self.write(command.clone()).await.map_err(|e| Attempt::Fatal(e.to_string()))?
        } else {
            self.forward(leader, command).await?
        };
        match answer {
            Forwarded::Applied(outcome) => Ok(outcome),
            Forwarded::NotLeader(_) => Err(Attempt::Retry("the leader is changing".into())),
        }
    }

    async fn forward(&self, leader: NodeId, command: &Command) -> Result<Forwarded, Attempt> {
        let address = self
            .address_of(leader)
            .ok_or_else(|| Attempt::Retry("the leader's address is not known".into()))?;
        let retry = |reason: String| Attempt::Retry(reason);
        let mut client =
            self.dialer().client(leader, &address).map_err(|e| retry(e.to_string()))?;
        let envelope =
            Envelope::pack("Propose", command).map_err(|e| Attempt::Fatal(e.to_string()))?;
        match client.propose(envelope).await {
            Ok(response) => {
                let unpacked = response.into_inner().unpack("Forwarded");
                unpacked.map_err(|e| Attempt::Fatal(e.to_string()))
            }
            Err(status) if status.code() == Code::PermissionDenied => {
                Err(Attempt::Fatal(status.message().to_owned()))
            }
            Err(status) => Err(retry(format!("the leader at {address}: {}", status.message()))),
        }
    }
}

enum Attempt {
    Retry(String),
    Fatal(String),
}

/// The proposer's clock; the state never lets it go back.
pub(crate) fn wall_clock() -> Timestamp {
    Timestamp(host::wall_clock())
}
