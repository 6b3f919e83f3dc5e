//! The served side of renewals, and of CA keys on their way from one coordinator to another.

use std::sync::Arc;
use std::time::Duration;

use protocol::control::{CaShared, CoordinatorAddress, RenewRequest, RenewResponse, Role, ShareCa};
use protocol::identity::{ClusterCa, PeerIdentity};
use protocol::rpc::identity_client::IdentityClient;
use protocol::rpc::{Envelope, identity_server};
use protocol::transport::grpc::{require_peer, require_role};
use protocol::transport::tls::GRPC_ALPN;
use protocol::transport::{GrpcTarget, NodeTls};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::authority::{Authority, shared};
use crate::raft::Consensus;

const SHARE_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) struct IdentityService {
    pub(crate) consensus: Arc<Consensus>,
    pub(crate) authority: Arc<Authority>,
}

#[tonic::async_trait]
impl identity_server::Identity for IdentityService {
    /// The same node, the same key, another certificate.
    async fn renew(&self, request: Request<Envelope>) -> Result<Response<Envelope>, Status> {
        let peer = self.member(require_peer(&request)?)?;
        let asked: RenewRequest = request.get_ref().unpack("RenewRequest").map_err(malformed)?;
        let signed = self.authority.sign(&asked.csr_pem, peer.role).map_err(malformed)?;
        if signed.node != peer.node {
            let (found, expected) = (signed.node.short(), peer.node.short());
            let message = format!("the request is for node {found}, the caller is {expected}");
            return Err(Status::permission_denied(message));
        }
        tracing::info!(node = %peer.node.short(), role = peer.role.name(), "certificate renewed");
        let ca_pem = self.consensus.state().trusted_ca_pem();
        let response = RenewResponse { certificate_pem: signed.certificate_pem, ca_pem };
        pack("RenewResponse", &response)
    }

    async fn share(&self, request: Request<Envelope>) -> Result<Response<Envelope>, Status> {
        let peer = self.member(require_role(&request, Role::Coordinator)?)?;
        let asked: ShareCa = request.get_ref().unpack("ShareCa").map_err(malformed)?;
        if let Some(given) = &asked.given {
            let ca = ClusterCa::from_pem(&given.certificate_pem, &given.key_pem);
            let ca = ca.map_err(malformed)?;
            if ca.fingerprint() != asked.ca || ca.cluster() != peer.cluster {
                return Err(Status::invalid_argument("the CA is another than it is said to be"));
            }
            self.authority.keep(&ca).map_err(failed)?;
            tracing::info!(from = %peer.node.short(), ca = ca.fingerprint().short(), "took a CA");
        }
        let held = self.authority.held(asked.ca).map_err(failed)?;
        pack("CaShared", &CaShared { held: held.as_ref().map(shared) })
    }
}

impl IdentityService {
    // tonic's own error type is large, and its handlers return it as it is.
    #[allow(clippy::result_large_err)]
    fn member(&self, peer: PeerIdentity) -> Result<PeerIdentity, Status> {
        let state = self.consensus.state();
        match state.members.get(&peer.node) {
            Some(member) if member.role == peer.role => Ok(peer),
            _ => Err(Status::permission_denied(format!("{peer} is not a member"))),
        }
    }
}

/// A connection to another coordinator.
pub(crate) async fn dial(tls: &NodeTls, to: &CoordinatorAddress) -> Result<Channel, String> {
    let config = tls.client(Some(to.node), GRPC_ALPN).map_err(|e| e.to_string())?;
    let (address, tls) = (to.address.clone(), Arc::new(config));
    let target = GrpcTarget { address, tls, dial_timeout: SHARE_TIMEOUT };
    target.connect().await.map_err(|e| e.to_string())
}

/// Gives a CA to another coordinator, or asks it for one.
pub(super) async fn ask(
    tls: &NodeTls,
    to: &CoordinatorAddress,
    message: &ShareCa,
) -> Result<CaShared, String> {
    let asking = async {
        let channel = dial(tls, to).await?;
        let envelope = Envelope::pack("ShareCa", message).map_err(|e| e.to_string())?;
        let answer = IdentityClient::new(channel).share(envelope).await;
        let answer = answer.map_err(|status| status.message().to_owned())?;
        answer.into_inner().unpack("CaShared").map_err(|e| e.to_string())
    };
    let late = |_| format!("{} did not answer within {} s", to.address, SHARE_TIMEOUT.as_secs());
    tokio::time::timeout(SHARE_TIMEOUT, asking).await.map_err(late)?
}

#[allow(clippy::result_large_err)]
fn pack<T: serde::Serialize>(what: &'static str, value: &T) -> Result<Response<Envelope>, Status> {
    Envelope::pack(what, value).map(Response::new).map_err(failed)
}

fn malformed(reason: impl ToString) -> Status {
    Status::invalid_argument(reason.to_string())
}

fn failed(reason: impl ToString) -> Status {
    Status::internal(reason.to_string())
}
