//! One coordinator's part in the group, on a simulated disk and network.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::vote::RaftLeaderId;
use protocol::control::Role;
use protocol::identity::PeerIdentity;
use protocol::ids::NodeId;
use protocol::rpc::raft_server::RaftServer;
use protocol::transport::grpc::NodeConnectInfo;
use redb::Database;
use tonic::codegen::Service;

use super::link::{Answer, Call, Wire};
use super::world::Future;
use crate::error::CoordinatorError;
use crate::raft::{Consensus, Parts, RaftService};

/// Where a snapshot lies, old or new, never mixed.
pub trait Blob: Debug + Send + Sync {
    fn read(&self) -> io::Result<Option<Vec<u8>>>;
    fn write(&self, bytes: &[u8]) -> io::Result<()>;
}

pub struct Setting {
    pub own: NodeId,
    pub address: String,
    pub database: Database,
    pub snapshot: Arc<dyn Blob>,
    pub wire: Arc<dyn Wire>,
    pub heartbeat: Duration,
    pub election: Duration,
    /// Entries between two snapshots, and how many are kept behind one.
    pub snapshot_every: u64,
    pub snapshot_keeps: u64,
}

/// What a coordinator holds of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub term: u64,
    /// The candidate that has this coordinator's vote.
    pub candidate: NodeId,
    pub leads: bool,
    pub applied: u64,
}

#[derive(Clone)]
pub struct Replica {
    consensus: Arc<Consensus>,
}

impl Replica {
    pub async fn start(setting: Setting) -> Result<Self, CoordinatorError> {
        let consensus = Consensus::start_on(Parts::simulated(setting)?).await?;
        Ok(Self { consensus: Arc::new(consensus) })
    }

    pub fn consensus(&self) -> &Arc<Consensus> {
        &self.consensus
    }

    /// Serves a call of the coordinator `from`.
    pub fn answer(&self, from: NodeId, call: Call) -> Future<Result<Answer, String>> {
        let mut server = RaftServer::new(RaftService { consensus: Arc::clone(&self.consensus) });
        let mut request = call.into_request();
        let remote = SocketAddr::from(([127, 0, 0, 1], 1));
        let (cluster, role) = (self.consensus.state().cluster.clone(), Role::Coordinator);
        let peer = Some(PeerIdentity { cluster, role, node: from });
        request.extensions_mut().insert(NodeConnectInfo { remote, peer });
        Box::pin(async move {
            let Ok(response) = server.call(request).await;
            Answer::of(response).await.map_err(|status| status.to_string())
        })
    }

    /// Whether this coordinator leads with everything that earlier leaders committed.
    pub fn caught_up(&self) -> Future<bool> {
        let consensus = Arc::clone(&self.consensus);
        Box::pin(async move { consensus.caught_up().await })
    }

    pub fn tend_membership(&self) -> Future<Result<(), CoordinatorError>> {
        let consensus = Arc::clone(&self.consensus);
        Box::pin(async move { consensus.tend_membership().await })
    }

    pub fn position(&self) -> Position {
        let metrics = self.consensus.raft().metrics();
        let metrics = metrics.borrow_watched();
        let candidate = metrics.vote.leader_id().node_id().0;
        Position {
            term: metrics.current_term,
            candidate,
            leads: metrics.state == openraft::ServerState::Leader,
            applied: metrics.last_applied.map_or(0, |id| id.index),
        }
    }
}
