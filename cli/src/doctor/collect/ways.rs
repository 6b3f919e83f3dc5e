//! The ways from here to the coordinators: TCP with TLS, as nodes speak it, and UDP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use protocol::control::{CoordinatorAddress, Role};
use protocol::identity::{Identity, JoinToken};
use protocol::ids::NodeId;
use protocol::transport::knock::knock;
use protocol::transport::tls::{GRPC_ALPN, joining_client};
use protocol::transport::{GrpcTarget, NodeTls, TransportError};
use tokio::net::TcpStream;

use crate::doctor::facts::Way;

const PATIENCE: Duration = Duration::from_secs(3);
const KNOCKS: u32 = 20;

#[derive(Default)]
pub(super) struct Ways {
    pub(super) found: Vec<Way>,
    /// Addresses at which this machine's own node answers.
    pub(super) own: Vec<String>,
}

/// To where a token or an address points, else to the coordinators that the node here knows.
pub(super) async fn walk(
    before_joining: Option<&str>,
    identity: Option<&(Identity, Vec<CoordinatorAddress>)>,
) -> Ways {
    if let Some(text) = before_joining {
        let token = text.parse::<JoinToken>().ok();
        let addresses = token.as_ref().map_or(vec![text.to_owned()], |t| t.addresses.clone());
        let tls = token.and_then(|token| joining_client(token.ca).ok()).map(Arc::new);
        let ways = addresses.into_iter().map(|address| way(address, tls.clone()));
        return Ways { found: join_all(ways).await, own: Vec::new() };
    }
    let Some((identity, coordinators)) = identity else { return Ways::default() };
    let tls = NodeTls::new(identity).ok();
    let client = |node: NodeId| tls.as_ref()?.client(Some(node), GRPC_ALPN).ok().map(Arc::new);
    let ways = coordinators.iter().map(|c| way(c.address.clone(), client(c.node)));
    let found = join_all(ways).await;
    let is_own = |c: &&CoordinatorAddress| {
        let itself = c.node == identity.peer.node && identity.peer.role == Role::Coordinator;
        let way = found.iter().find(|way| way.address == c.address);
        itself && way.is_some_and(|way| way.tcp_refused.is_none() && way.not_trusted.is_none())
    };
    let own = coordinators.iter().filter(is_own).map(|c| c.address.clone()).collect();
    Ways { found, own }
}

async fn way(address: String, tls: Option<Arc<rustls::ClientConfig>>) -> Way {
    let mut way = Way { address: address.clone(), ..Way::default() };
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host(&address)).await;
    let socket = match found {
        Ok(Ok(mut found)) => found.next(),
        Ok(Err(error)) => {
            way.tcp_refused = Some(error.to_string());
            return way;
        }
        Err(_) => None,
    };
    let Some(socket) = socket else {
        way.tcp_refused = Some("the name is not known".to_owned());
        return way;
    };
    match tokio::time::timeout(PATIENCE, TcpStream::connect(socket)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => way.tcp_refused = Some(error.to_string()),
        Err(_) => {
            way.tcp_refused = Some(format!("no answer within {} s", PATIENCE.as_secs()));
        }
    }
    if let (None, Some(tls)) = (&way.tcp_refused, tls) {
        way.not_trusted = not_trusted(address.clone(), tls).await;
    }
    (way.udp_sent, way.udp_answered) = (KNOCKS, datagrams(socket).await);
    way
}

/// Why one end does not trust the other, if it is that.
async fn not_trusted(address: String, tls: Arc<rustls::ClientConfig>) -> Option<String> {
    let target = GrpcTarget { address, tls, dial_timeout: PATIENCE };
    match target.connect().await {
        Ok(_) => None,
        Err(TransportError::NotTrusted { reason, .. }) => Some(reason),
        Err(error) => Some(error.to_string()),
    }
}

async fn datagrams(socket: SocketAddr) -> u32 {
    knock(socket, KNOCKS, PATIENCE).await.unwrap_or(0)
}
