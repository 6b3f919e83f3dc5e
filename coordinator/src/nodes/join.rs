//! How a machine becomes a member: its token is checked by the log, its key is signed here.

use std::sync::Arc;

use protocol::control::{JoinRequest, JoinResponse, Role};
use protocol::identity::CaFingerprint;
use protocol::identity::join_token::secret_hash;
use protocol::rpc::{Envelope, join_server};
use tonic::{Request, Response, Status};

use crate::identity::Authority;
use crate::raft::{Consensus, ProposeError};
use crate::state::{Actor, Change, RefusalCode};

pub(crate) struct JoinService {
    pub(crate) consensus: Arc<Consensus>,
    pub(crate) authority: Arc<Authority>,
}

#[tonic::async_trait]
impl join_server::Join for JoinService {
    async fn join(&self, request: Request<Envelope>) -> Result<Response<Envelope>, Status> {
        let asked: JoinRequest = request
            .into_inner()
            .unpack("JoinRequest")
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        if (asked.role == Role::Coordinator) != asked.coordinator.is_some() {
            let message = "a coordinator, and only a coordinator, says where it is reached";
            return Err(Status::invalid_argument(message));
        }
        // Signed before it is admitted: a request that cannot be signed costs no use of the token.
        let signed = self
            .authority
            .sign(&asked.csr_pem, asked.role)
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        let node = signed.node;
        let change = Change::AdmitNode {
            node,
            name: asked.name.clone(),
            role: asked.role,
            token: Some(secret_hash(&asked.secret)),
            endpoint: asked.coordinator,
        };
        let actor = Actor::Node { node, role: asked.role };
        let admitted = self.consensus.propose_by(actor, None, change);
        admitted.await.map_err(refused)?;
        tracing::info!(node = %node.short(), name = asked.name, role = asked.role.name(), "joined");
        let coordinator = asked.role == Role::Coordinator;
        let (state, ca) = (self.consensus.state(), self.authority.signing());
        if CaFingerprint::of_pem(&state.ca_pem).ok() != Some(ca.fingerprint()) {
            return Err(Status::unavailable("the CA is changing: try again in a second"));
        }
        let response = JoinResponse {
            cluster: ca.cluster().to_owned(),
            node,
            certificate_pem: signed.certificate_pem,
            ca_pem: state.trusted_ca_pem(),
            ca_key_pem: coordinator.then(|| ca.key_pem().to_string()),
            recovery: state.identity.recovery.filter(|_| coordinator),
            coordinators: state.coordinators(),
        };
        Envelope::pack("JoinResponse", &response)
            .map(Response::new)
            .map_err(|e| Status::internal(e.to_string()))
    }
}

fn refused(error: ProposeError) -> Status {
    let message = match &error {
        ProposeError::Refused(refusal) if !refusal.hint.is_empty() => {
            format!("{} ({})", refusal.message, refusal.hint)
        }
        other => other.to_string(),
    };
    match error {
        ProposeError::NoQuorum { .. } => Status::unavailable(message),
        ProposeError::NoRoom(_) => Status::resource_exhausted(message),
        ProposeError::Failed(_) => Status::internal(message),
        ProposeError::Refused(refusal) => match refusal.code {
            RefusalCode::Forbidden => Status::permission_denied(message),
            RefusalCode::InvalidValue => Status::invalid_argument(message),
            RefusalCode::NotFound | RefusalCode::Precondition => {
                Status::failed_precondition(message)
            }
        },
    }
}
