//! Two coordinators of one identity (a cloned disk) would break the promises of the log, so the
//! one that finds the other does not go on.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use protocol::transport::tls::GRPC_ALPN;
use protocol::transport::{GrpcTarget, NodeTls};

const DIAL_TIMEOUT: Duration = Duration::from_millis(500);

/// True when a process with this very identity answers at `address`, where this one does not
/// listen.
pub(crate) async fn someone_else_at(address: &str, listening: SocketAddr, tls: &NodeTls) -> bool {
    let found = tokio::time::timeout(DIAL_TIMEOUT, tokio::net::lookup_host(address)).await;
    let Ok(Ok(mut found)) = found else { return false };
    let is_own = |at: SocketAddr| at.port() == listening.port() && is_of_this_machine(at);
    if found.any(is_own) {
        return false;
    }
    let Ok(config) = tls.client(Some(tls.own().node), GRPC_ALPN) else { return false };
    let (address, tls) = (address.to_owned(), Arc::new(config));
    GrpcTarget { address, tls, dial_timeout: DIAL_TIMEOUT }.dial().await.is_ok()
}

/// Only a machine's own addresses can be bound.
fn is_of_this_machine(address: SocketAddr) -> bool {
    UdpSocket::bind((address.ip(), 0)).is_ok()
}
