//! The leader's side of leases: one small call between coordinators.

use std::sync::Arc;

use protocol::control::Role;
use protocol::ids::NodeId;
use protocol::rpc::limits_client::LimitsClient;
use protocol::rpc::{Envelope, limits_server};
use protocol::transport::grpc::require_role;
use tonic::{Request, Response, Status};

use super::counter::Counter;
use super::ledger::LeaseAsk;
use crate::raft::{Consensus, Link};

pub(crate) struct LimitsService {
    pub(crate) consensus: Arc<Consensus>,
    pub(crate) counter: Arc<Counter>,
}

#[tonic::async_trait]
impl limits_server::Limits for LimitsService {
    async fn lease(&self, request: Request<Envelope>) -> Result<Response<Envelope>, Status> {
        let peer = require_role(&request, Role::Coordinator)?;
        if !self.consensus.state().members.contains_key(&peer.node) {
            return Err(Status::permission_denied("not a coordinator of this cluster"));
        }
        if !self.consensus.status().is_leader {
            return Err(Status::failed_precondition("this coordinator does not lead"));
        }
        let ask: LeaseAsk = request
            .into_inner()
            .unpack("LeaseAsk")
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        let lease = self.counter.lease(&ask).ok_or_else(|| Status::not_found("no such key"))?;
        let envelope = Envelope::pack("Lease", &lease);
        envelope.map(Response::new).map_err(|e| Status::internal(e.to_string()))
    }
}

impl Consensus {
    /// Dials `leader` where the log says that it is.
    pub(super) fn limits_client(&self, leader: NodeId) -> Result<LimitsClient<Link>, String> {
        let address = self.address_of(leader).ok_or("the leader's address is not known")?;
        let link = self.dialer().link(leader, &address).map_err(|e| e.to_string())?;
        Ok(LimitsClient::new(link))
    }
}
