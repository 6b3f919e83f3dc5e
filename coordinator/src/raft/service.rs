//! The served side of Raft: calls of other coordinators, and commands they forward to the leader.

use std::sync::Arc;

use openraft::Snapshot;
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest};
use protocol::control::Role;
use protocol::ids::NodeId;
use protocol::rpc::{Envelope, raft_server};
use protocol::transport::grpc::require_role;
use serde::{Deserialize, Serialize};
use tonic::{Request, Response, Status, Streaming};

use super::Consensus;
use super::network::{SnapshotHead, VoteCall};
use super::room::Shortage;
use super::type_config::TypeConfig;
use crate::state::{Command, Outcome, State};

/// Larger than any state within its limits; a snapshot over it is a fault, not memory.
const SNAPSHOT_BYTES_MAX: u64 = 256 << 20;

/// The answer to a forwarded command.
#[derive(Serialize, Deserialize)]
pub(crate) enum Forwarded {
    Applied {
        outcome: Outcome,
        /// Where it stands in the log.
        index: u64,
    },
    /// The leader's disk is full.
    NoRoom(Shortage),
    /// Ask this one, if known.
    NotLeader(Option<NodeId>),
}

pub(crate) struct RaftService {
    pub(crate) consensus: Arc<Consensus>,
}

impl RaftService {
    // tonic's own error type is large, and its handlers return it as it is.
    #[allow(clippy::result_large_err)]
    fn check<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        let peer = require_role(request, Role::Coordinator)?;
        if self.consensus.state().removed.contains(&peer.node) {
            return Err(Status::permission_denied("this coordinator was removed from the cluster"));
        }
        Ok(peer.node)
    }
}

#[tonic::async_trait]
impl raft_server::Raft for RaftService {
    async fn append_entries(
        &self,
        request: Request<Envelope>,
    ) -> Result<Response<Envelope>, Status> {
        let caller = self.check(&request)?;
        self.consensus.called_by(caller);
        let call: AppendEntriesRequest<TypeConfig> =
            request.get_ref().unpack("AppendEntries").map_err(malformed)?;
        let answer = self.consensus.raft().append_entries(call).await.map_err(failed)?;
        self.consensus.heard_leader();
        pack("AppendEntriesResponse", &answer)
    }

    async fn vote(&self, request: Request<Envelope>) -> Result<Response<Envelope>, Status> {
        self.check(&request)?;
        let call: VoteCall = request.get_ref().unpack("Vote").map_err(malformed)?;
        let raft = self.consensus.raft();
        let answer = match call.pre {
            true => raft.pre_vote(call.request).await,
            false => raft.vote(call.request).await,
        };
        pack("VoteResponse", &answer.map_err(failed)?)
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<Envelope>, Status> {
        self.check(&request)?;
        let mut stream = request.into_inner();
        let first = stream.message().await?.ok_or_else(|| malformed("no snapshot head"))?;
        let head: SnapshotHead = first.unpack("SnapshotHead").map_err(malformed)?;
        if head.bytes > SNAPSHOT_BYTES_MAX {
            return Err(malformed(format!("a snapshot of {} bytes is too large", head.bytes)));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.message().await? {
            if (bytes.len() + chunk.payload.len()) as u64 > head.bytes {
                return Err(malformed("the snapshot is longer than announced"));
            }
            bytes.extend_from_slice(&chunk.payload);
        }
        let state = State::from_snapshot(&bytes).map_err(malformed)?;
        let snapshot = Snapshot { meta: head.meta, snapshot: Arc::new(state) };
        let installed = self.consensus.raft().install_full_snapshot(head.vote, snapshot).await;
        pack("SnapshotResponse", &installed.map_err(failed)?)
    }

    async fn transfer_leader(
        &self,
        request: Request<Envelope>,
    ) -> Result<Response<Envelope>, Status> {
        self.check(&request)?;
        let call: TransferLeaderRequest<TypeConfig> =
            request.get_ref().unpack("TransferLeader").map_err(malformed)?;
        let answer = self.consensus.raft().handle_transfer_leader(call).await.map_err(failed)?;
        pack("TransferLeaderResponse", &answer)
    }

    async fn read_index(&self, request: Request<Envelope>) -> Result<Response<Envelope>, Status> {
        self.check(&request)?;
        pack("ReadPosition", &self.consensus.own_read_position().await.map_err(failed)?)
    }

    async fn propose(&self, request: Request<Envelope>) -> Result<Response<Envelope>, Status> {
        self.check(&request)?;
        let command: Command = request.get_ref().unpack("Propose").map_err(malformed)?;
        let answer = self.consensus.write(command).await.map_err(failed)?;
        pack("Forwarded", &answer)
    }
}

#[allow(clippy::result_large_err)]
fn pack<T: Serialize>(what: &'static str, value: &T) -> Result<Response<Envelope>, Status> {
    Envelope::pack(what, value).map(Response::new).map_err(failed)
}

fn malformed(reason: impl ToString) -> Status {
    Status::invalid_argument(reason.to_string())
}

fn failed(reason: impl ToString) -> Status {
    Status::internal(reason.to_string())
}
