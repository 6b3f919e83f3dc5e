//! Becoming a member with a join token: the cluster proves itself first, then the secret is sent.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::ProtocolError;
use protocol::control::{CoordinatorEndpoint, JoinRequest, JoinResponse, Role, Trust};
use protocol::identity::{ClusterCa, Identity, IdentityError, IdentityStore};
use protocol::identity::{JoinToken, NodeKey};
use protocol::rpc::Envelope;
use protocol::rpc::join_client::JoinClient;
use protocol::transport::tls::joining_client;
use protocol::transport::{GrpcTarget, TransportError};

const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Who joins, with which token.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    pub data_dir: PathBuf,
    /// As printed by `cluster join-token`.
    pub token: String,
    pub name: String,
    pub role: Role,
    /// Coordinators only: where the others reach it.
    pub coordinator: Option<CoordinatorEndpoint>,
    /// The cluster that this node is a member of began anew under another CA.
    pub anew: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("the join token is not usable: {0}")]
    BadToken(IdentityError),
    #[error(
        "{address} belongs to another cluster than the token: {reason}; nothing secret was sent"
    )]
    ForeignCluster { address: String, reason: String },
    #[error("no coordinator of the token can be reached: {reasons}")]
    Unreachable { reasons: String },
    #[error("the cluster refuses the token: {reason}")]
    TokenRefused { reason: String },
    #[error("the cluster refuses this node: {reason}")]
    Refused { reason: String },
    #[error("{address} answered with something that is no membership: {reason}")]
    BadAnswer { address: String, reason: String },
    #[error("this node is a {found} of cluster `{cluster}` already: use another data directory")]
    OtherRole { found: &'static str, cluster: String },
    #[error(
        "this node belongs to cluster `{cluster}`, the token is of another: use another data \
         directory"
    )]
    OtherMembership { cluster: String },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Joins, and keeps identity and coordinators in the data directory. Calling it again is harmless:
/// a node that is a member of the token's cluster stays what it is, one that was interrupted asks
/// again under the same id.
pub async fn join(options: JoinOptions) -> Result<Identity, JoinError> {
    let token: JoinToken = options.token.parse().map_err(JoinError::BadToken)?;
    let store = IdentityStore::open(&options.data_dir)?;
    let before = match store.load()? {
        Some(identity) if options.anew && !token.ca.is_in(&identity.ca_pem)? => Some(identity),
        Some(identity) => return already(identity, &token, options.role),
        None => None,
    };
    let key = store.node_key()?;
    let request = JoinRequest {
        secret: token.secret.expose().to_owned(),
        name: options.name.clone(),
        role: options.role,
        csr_pem: key.signing_request()?,
        coordinator: options.coordinator.clone(),
    };
    let mut unreachable = Vec::new();
    for address in &token.addresses {
        match ask(address, &token, &request).await {
            Ok(response) => {
                if let Some(before) = before.filter(|b| b.peer.cluster != response.cluster) {
                    let cluster = before.peer.cluster;
                    return Err(JoinError::OtherMembership { cluster });
                }
                store.save_trust(&Trust::default())?;
                return keep(&store, &key, address, response);
            }
            Err(Failure::TryNext(reason)) => unreachable.push(reason),
            Err(Failure::Final(error)) => return Err(error),
        }
    }
    Err(JoinError::Unreachable { reasons: unreachable.join("; ") })
}

fn already(identity: Identity, token: &JoinToken, role: Role) -> Result<Identity, JoinError> {
    let cluster = identity.peer.cluster.clone();
    if !token.ca.is_in(&identity.ca_pem)? {
        return Err(JoinError::OtherMembership { cluster });
    }
    if identity.peer.role != role {
        return Err(JoinError::OtherRole { found: identity.peer.role.name(), cluster });
    }
    Ok(identity)
}

enum Failure {
    /// Another coordinator may do better.
    TryNext(String),
    Final(JoinError),
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        Self::Final(error)
    }
}

async fn ask(
    address: &str,
    token: &JoinToken,
    request: &JoinRequest,
) -> Result<JoinResponse, Failure> {
    let tls = Arc::new(joining_client(token.ca).map_err(JoinError::from)?);
    let target = GrpcTarget { address: address.to_owned(), tls, dial_timeout: DIAL_TIMEOUT };
    let channel = target.connect().await.map_err(|error| match error {
        TransportError::NotTrusted { address, reason } => {
            Failure::Final(JoinError::ForeignCluster { address, reason })
        }
        other => Failure::TryNext(other.to_string()),
    })?;
    let envelope = Envelope::pack("JoinRequest", request).map_err(JoinError::from)?;
    let mut client = JoinClient::new(channel);
    let late = |_| {
        let seconds = ANSWER_TIMEOUT.as_secs();
        Failure::TryNext(format!("{address} did not answer within {seconds} s"))
    };
    let answered =
        tokio::time::timeout(ANSWER_TIMEOUT, client.join(envelope)).await.map_err(late)?;
    let response = answered.map_err(|status| refusal(address, &status))?.into_inner();
    let response: JoinResponse = response.unpack("JoinResponse").map_err(JoinError::from)?;
    if token.ca.is_in(&response.ca_pem).map_err(JoinError::from)? {
        return Ok(response);
    }
    let reason = "it sent another CA than the token names".to_owned();
    Err(JoinError::BadAnswer { address: address.to_owned(), reason }.into())
}

/// What a coordinator's refusal means for the operator.
fn refusal(address: &str, status: &tonic::Status) -> Failure {
    let reason = status.message().to_owned();
    match status.code() {
        tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => {
            JoinError::TokenRefused { reason }.into()
        }
        tonic::Code::InvalidArgument | tonic::Code::FailedPrecondition => {
            JoinError::Refused { reason }.into()
        }
        _ => Failure::TryNext(format!("{address}: {reason}")),
    }
}

/// The node's certificate is written last: before it is there, nothing counts as joined.
fn keep(
    store: &IdentityStore,
    key: &NodeKey,
    address: &str,
    response: JoinResponse,
) -> Result<Identity, JoinError> {
    let identity = Identity::new(key, response.certificate_pem, response.ca_pem.clone())
        .map_err(|e| JoinError::BadAnswer { address: address.to_owned(), reason: e.to_string() })?;
    if let Some(recovery) = response.recovery {
        store.save_recovery(recovery)?;
    }
    if let Some(ca_key) = &response.ca_key_pem {
        store.save_ca(&ClusterCa::from_pem(&response.ca_pem, ca_key)?)?;
    }
    store.save_coordinators(&response.coordinators)?;
    store.save(&identity)?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::Path;

    use protocol::control::CoordinatorAddress;
    use protocol::rpc::join_server::{Join, JoinServer};
    use protocol::transport::NodeTls;
    use protocol::transport::grpc;
    use protocol::transport::tls::ClientCertificate;
    use tokio::net::TcpListener;
    use tonic::{Request, Response, Status};

    use super::*;

    /// A coordinator that knows one token.
    struct Coordinator {
        ca: ClusterCa,
        secret: String,
        address: String,
    }

    struct Service(Arc<Coordinator>);

    #[tonic::async_trait]
    impl Join for Service {
        async fn join(&self, request: Request<Envelope>) -> Result<Response<Envelope>, Status> {
            let asked: JoinRequest = request.into_inner().unpack("JoinRequest").expect("valid");
            if asked.secret != self.0.secret {
                return Err(Status::permission_denied("the token is not known"));
            }
            let signed = self.0.ca.sign_node(&asked.csr_pem, asked.role).expect("signed");
            let (address, api_address) = (self.0.address.clone(), "127.0.0.1:8443".to_owned());
            let response = JoinResponse {
                cluster: self.0.ca.cluster().to_owned(),
                node: signed.node,
                certificate_pem: signed.certificate_pem,
                ca_pem: self.0.ca.certificate_pem().to_owned(),
                ca_key_pem: None,
                recovery: None,
                coordinators: vec![CoordinatorAddress { node: signed.node, address, api_address }],
            };
            Ok(Response::new(Envelope::pack("JoinResponse", &response).expect("packs")))
        }
    }

    async fn coordinator() -> (Arc<Coordinator>, JoinToken) {
        let ca = ClusterCa::create("lab").expect("valid name");
        let key = NodeKey::generate().expect("key");
        let csr = key.signing_request().expect("request");
        let signed = ca.sign_node(&csr, Role::Coordinator).expect("signed");
        let identity = Identity::new(&key, signed.certificate_pem, ca.certificate_pem().into());
        let tls = NodeTls::new(&identity.expect("fits")).expect("usable");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let address = listener.local_addr().expect("bound").to_string();
        let token = JoinToken::new(ca.fingerprint(), vec![address.clone()]).expect("valid");
        let secret = token.secret.expose().to_owned();
        let coordinator = Arc::new(Coordinator { ca, secret, address });
        let incoming = grpc::accept(listener, &tls, ClientCertificate::Optional).expect("usable");
        let service = JoinServer::new(Service(Arc::clone(&coordinator)));
        let serving = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(serving.serve_with_incoming(incoming));
        (coordinator, token)
    }

    fn options(folder: &Path, token: &str) -> JoinOptions {
        JoinOptions {
            data_dir: folder.to_owned(),
            token: token.to_owned(),
            name: "b2".into(),
            role: Role::Worker,
            coordinator: None,
            anew: false,
        }
    }

    async fn fails(token: &str) -> (JoinError, bool) {
        let folder = tempfile::tempdir().expect("folder");
        let error = join(options(folder.path(), token)).await.expect_err("refused");
        let store = IdentityStore::open(folder.path()).expect("opens");
        (error, store.load().expect("readable").is_some())
    }

    #[tokio::test]
    async fn a_node_with_a_good_token_becomes_a_member_and_stays_it_when_asked_again() {
        let (coordinator, token) = coordinator().await;
        let folder = tempfile::tempdir().expect("folder");
        let text = token.to_string();
        let identity = join(options(folder.path(), &text)).await.expect("joined");
        assert_eq!((identity.peer.cluster.as_str(), identity.peer.role), ("lab", Role::Worker));
        let store = IdentityStore::open(folder.path()).expect("opens");
        assert_eq!(store.coordinators().expect("kept")[0].address, coordinator.address);
        let again = join(options(folder.path(), &text)).await.expect("still a member");
        assert_eq!(again.peer, identity.peer);
        let elsewhere = self::coordinator().await.1.to_string();
        let error = join(options(folder.path(), &elsewhere)).await.expect_err("a second cluster");
        assert!(matches!(error, JoinError::OtherMembership { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_wrong_a_foreign_a_broken_and_an_unreachable_token_each_say_what_they_are() {
        let (_, token) = coordinator().await;
        let (error, joined) = fails(&token.to_string().replace('.', "")).await;
        assert!(matches!(error, JoinError::BadToken(_)) && !joined, "{error}");

        let unknown = JoinToken::new(token.ca, token.addresses.clone()).expect("valid");
        let (error, joined) = fails(&unknown.to_string()).await;
        assert!(matches!(error, JoinError::TokenRefused { .. }) && !joined, "{error}");
        assert!(error.to_string().contains("not known"), "{error}");

        let (_, other) = coordinator().await;
        let foreign = JoinToken { ca: other.ca, ..token.clone() };
        let (error, joined) = fails(&foreign.to_string()).await;
        assert!(matches!(error, JoinError::ForeignCluster { .. }) && !joined, "{error}");

        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let address = closed.local_addr().expect("bound").to_string();
        drop(closed);
        let nowhere = JoinToken { addresses: vec![address.clone()], ..token };
        let (error, joined) = fails(&nowhere.to_string()).await;
        assert!(matches!(error, JoinError::Unreachable { .. }) && !joined, "{error}");
        assert!(error.to_string().contains(&address), "{error}");
    }
}
