//! Raft's calls to the other coordinators: gRPC over mutual TLS, to exactly the node meant.

use std::future::Future;
use std::time::Duration;

use openraft::OptionalSend;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use protocol::rpc::Envelope;
use protocol::rpc::raft_client::RaftClient;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tonic::{Code, Status};

use super::dial::{Dialer, Link};
use super::type_config::{SnapshotMeta, TypeConfig, Vote, Voter, VoterId};
use crate::host;
use crate::state::State;

/// openraft's own limit for a call is one heartbeat interval; a slow disk needs more.
const CALL_TIMEOUT_MIN: Duration = Duration::from_millis(500);
const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// Makes clients for the other voters and learners.
pub(crate) struct Network {
    pub(crate) dialer: Dialer,
}

/// One coordinator, as dialled by Raft.
pub(crate) struct Peer {
    client: Result<RaftClient<Link>, String>,
}

/// `Vote` carries both kinds of vote request.
#[derive(Serialize, Deserialize)]
pub(crate) struct VoteCall {
    /// Asks only whether it would be granted.
    pub(crate) pre: bool,
    pub(crate) request: VoteRequest<TypeConfig>,
}

/// First envelope of `InstallSnapshot`; the state's bytes follow.
#[derive(Serialize, Deserialize)]
pub(crate) struct SnapshotHead {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
    pub(crate) bytes: u64,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: VoterId, voter: &Voter) -> Peer {
        Peer { client: self.dialer.client(target.0, &voter.address).map_err(|e| e.to_string()) }
    }
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = Arc<State>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let envelope = Envelope::pack("AppendEntries", &request).map_err(network)?;
        let mut client = self.client()?;
        let call = client.append_entries(envelope);
        answer("AppendEntriesResponse", within(limit(&option), call).await)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(VoteCall { pre: false, request }, option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(VoteCall { pre: true, request }, option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, Arc<State>>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let bytes = serde_json::to_vec(&*snapshot.snapshot).map_err(network)?;
        let head = SnapshotHead { vote, meta: snapshot.meta, bytes: bytes.len() as u64 };
        let mut envelopes = vec![Envelope::pack("SnapshotHead", &head).map_err(network)?];
        let chunks = bytes.chunks(SNAPSHOT_CHUNK_BYTES);
        envelopes.extend(chunks.map(|chunk| Envelope { payload: chunk.to_vec() }));
        let mut client = self.client()?;
        let call = client.install_snapshot(futures::stream::iter(envelopes));
        let answered = tokio::select! {
            biased;
            closed = cancel => return Err(closed.into()),
            answered = within(option.hard_ttl(), call) => answered,
        };
        Ok(answer("SnapshotResponse", answered)?)
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let envelope = Envelope::pack("TransferLeader", &request).map_err(network)?;
        let mut client = self.client()?;
        let call = client.transfer_leader(envelope);
        answer("TransferLeaderResponse", within(limit(&option), call).await)
    }
}

impl Peer {
    async fn ask_vote(
        &mut self,
        call: VoteCall,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let envelope = Envelope::pack("Vote", &call).map_err(network)?;
        let mut client = self.client()?;
        let call = client.vote(envelope);
        answer("VoteResponse", within(limit(&option), call).await)
    }

    /// Clones share one connection.
    fn client(&self) -> Result<RaftClient<Link>, Unreachable<TypeConfig>> {
        self.client.clone().map_err(Unreachable::from_string)
    }
}

fn limit(option: &RPCOption) -> Duration {
    option.hard_ttl().max(CALL_TIMEOUT_MIN)
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Status>> + Send,
) -> Result<T, Status> {
    let late = || Status::deadline_exceeded(format!("no answer within {limit:?}"));
    host::within(limit, call).await.ok_or_else(late)?
}

fn answer<T: DeserializeOwned>(
    what: &'static str,
    answered: Result<tonic::Response<Envelope>, Status>,
) -> Result<T, RPCError<TypeConfig>> {
    match answered {
        Ok(response) => Ok(response.into_inner().unpack(what).map_err(network)?),
        Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => {
            Err(Unreachable::from_string(status).into())
        }
        Err(status) => Err(NetworkError::from_string(status).into()),
    }
}

fn network(error: impl std::fmt::Display) -> NetworkError<TypeConfig> {
    NetworkError::from_string(error)
}
