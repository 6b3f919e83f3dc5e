//! gRPC between nodes over our own TLS: accepted streams that know their peer, and channels.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::{CertificateError, OtherError};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};

use super::doorkeeper::{Doorkeeper, Stranger, StrangerLimits};
use super::error::TransportError;
use super::tls::{ClientCertificate, GRPC_ALPN, NodeTls};
use crate::control::Role;
use crate::identity::PeerIdentity;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const ACCEPTED_MAX: usize = 32;
/// Whoever shows no certificate may stay this long: enough to join.
const GUEST_TIME: Duration = Duration::from_secs(30);

/// Where a request came from; in the extensions of every request served over `NodeStreams`.
#[derive(Clone, Debug)]
pub struct NodeConnectInfo {
    pub remote: SocketAddr,
    /// Absent only where the server allows clients without a certificate.
    pub peer: Option<PeerIdentity>,
}

/// For `tonic::transport::Server::serve_with_incoming_shutdown`.
pub type NodeStreams = ReceiverStream<io::Result<NodeStream>>;

/// Accepts TLS connections on `listener` until the returned stream is dropped. A client that does
/// not shake hands (plaintext, foreign certificate, silence) is logged and disturbs nobody.
pub fn accept(
    listener: TcpListener,
    tls: &NodeTls,
    clients: ClientCertificate,
) -> Result<NodeStreams, TransportError> {
    let (sender, receiver) = mpsc::channel(ACCEPTED_MAX);
    let acceptor = TlsAcceptor::from(Arc::new(tls.server(clients, GRPC_ALPN)?));
    tokio::spawn(accept_loop(listener, acceptor, tls.clone(), sender));
    Ok(ReceiverStream::new(receiver))
}

async fn accept_loop(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    tls: NodeTls,
    accepted: mpsc::Sender<io::Result<NodeStream>>,
) {
    let door = Doorkeeper::new("node", StrangerLimits::default());
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = accepted.closed() => return,
        };
        let (stream, remote) = match connection {
            Ok(connection) => connection,
            Err(error) => {
                // Out of file descriptors, mostly: pause instead of spinning.
                tracing::warn!(%error, "cannot accept a node connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, accepted, tls) = (acceptor.clone(), accepted.clone(), tls.clone());
        let mut stranger = door.admit(remote.ip());
        tokio::spawn(async move {
            let shaken = tokio::select! {
                shaken = handshake(acceptor, stream, remote) => shaken,
                // Logged by the doorkeeper, who counts them.
                () = stranger.shown_out() => return,
            };
            match shaken {
                Ok((stream, info)) => {
                    let stream = NodeStream::new(stream, info, tls, stranger);
                    drop(accepted.send(Ok(stream)).await);
                }
                Err(reason) => tracing::warn!(%remote, %reason, "node connection refused"),
            }
        });
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    remote: SocketAddr,
) -> Result<(server::TlsStream<TcpStream>, NodeConnectInfo), TransportError> {
    stream.set_nodelay(true)?;
    let (address, after) = (remote.to_string(), HANDSHAKE_TIMEOUT);
    let stream = tokio::time::timeout(after, acceptor.accept(stream))
        .await
        .map_err(|_| TransportError::TimedOut { address, after })?
        .map_err(|error| handshake_error(remote, error))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let peer = certificate.map(PeerIdentity::from_certificate).transpose()?;
    Ok((stream, NodeConnectInfo { remote, peer }))
}

/// In words that say what the other side is, where TLS itself speaks of messages.
fn handshake_error(remote: SocketAddr, error: io::Error) -> TransportError {
    let reason = match tls_cause(&error) {
        Some(rustls::Error::AlertReceived(alert)) => {
            return TransportError::RefusedByPeer { alert: format!("{alert:?}") };
        }
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        Some(rustls::Error::PeerIncompatible(reason)) => {
            format!("it offers no TLS 1.3: {reason:?}")
        }
        Some(rustls::Error::NoCertificatesPresented) => "it shows no certificate".to_owned(),
        Some(rustls::Error::InvalidCertificate(CertificateError::Revoked)) => {
            "its node was removed from the cluster".to_owned()
        }
        Some(reason) => reason.to_string(),
        None => return error.into(),
    };
    TransportError::NotTrusted { address: remote.to_string(), reason }
}

/// Whether a call failed because the server knows this node as removed.
pub fn says_removed(status: &Status) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(status);
    let alert = format!("{:?}", rustls::AlertDescription::CertificateRevoked);
    while let Some(error) = cause {
        if error.to_string().contains(&alert) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn tls_cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// An accepted connection that knows its peer.
pub struct NodeStream {
    stream: server::TlsStream<TcpStream>,
    info: NodeConnectInfo,
    tls: NodeTls,
    /// Where it shows no certificate.
    guest: Option<Guest>,
}

/// A stranger that may stay for a while.
struct Guest {
    stranger: Stranger,
    time: Pin<Box<tokio::time::Sleep>>,
}

impl NodeStream {
    fn new(
        stream: server::TlsStream<TcpStream>,
        info: NodeConnectInfo,
        tls: NodeTls,
        stranger: Stranger,
    ) -> Self {
        let time = Box::pin(tokio::time::sleep(GUEST_TIME));
        let guest = info.peer.is_none().then_some(Guest { stranger, time });
        Self { stream, info, tls, guest }
    }

    /// Why nothing more is read, if so.
    fn over(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        let peer = self.info.peer.as_ref();
        if peer.is_some_and(|peer| self.tls.is_revoked(peer.node)) {
            return Some(io::Error::new(io::ErrorKind::PermissionDenied, "the node was removed"));
        }
        let guest = self.guest.as_mut()?;
        let over = guest.time.as_mut().poll(context).is_ready();
        (over || guest.stranger.poll_shown_out(context))
            .then(|| io::Error::new(io::ErrorKind::TimedOut, "a guest stayed too long"))
    }
}

impl Connected for NodeStream {
    type ConnectInfo = NodeConnectInfo;

    fn connect_info(&self) -> NodeConnectInfo {
        self.info.clone()
    }
}

/// The caller, a member of whatever role.
// tonic's own error type is large, and its handlers return it as it is.
#[allow(clippy::result_large_err)]
pub fn require_peer<T>(request: &Request<T>) -> Result<PeerIdentity, Status> {
    let info = request.extensions().get::<NodeConnectInfo>();
    info.and_then(|info| info.peer.clone())
        .ok_or_else(|| Status::unauthenticated("this call needs a node certificate: join first"))
}

/// The caller, which must have `role`; `PermissionDenied` says what is missing.
// tonic's own error type is large, and its handlers return it as it is.
#[allow(clippy::result_large_err)]
pub fn require_role<T>(request: &Request<T>, role: Role) -> Result<PeerIdentity, Status> {
    let peer = require_peer(request)?;
    if peer.role != role {
        let (found, wanted) = (peer.role.name(), role.name());
        let message = format!("this call is for a {wanted}, the certificate says {found}");
        return Err(Status::permission_denied(message));
    }
    Ok(peer)
}

/// Where and how to dial a node's gRPC.
#[derive(Clone)]
pub struct GrpcTarget {
    /// `host:port`.
    pub address: String,
    /// From `NodeTls::client`, or `joining_client`.
    pub tls: Arc<rustls::ClientConfig>,
    pub dial_timeout: Duration,
}

impl GrpcTarget {
    /// Dials now and shakes hands; the error tells an unreachable node from an untrusted one. The
    /// channel dials again by itself when the connection is lost.
    pub async fn connect(&self) -> Result<Channel, TransportError> {
        let first = self.dial().await?;
        let target = self.clone();
        let mut first = Some(first);
        let connector = tower::service_fn(move |_: Uri| {
            let (ready, target) = (first.take(), target.clone());
            async move {
                match ready {
                    Some(stream) => Ok(TokioIo::new(stream)),
                    None => target.dial().await.map(TokioIo::new),
                }
            }
        });
        self.endpoint()?
            .connect_with_connector(connector)
            .await
            .map_err(|error| self.unreachable(&error))
    }

    /// A channel that dials at its first call.
    pub fn connect_lazily(&self) -> Result<Channel, TransportError> {
        let target = self.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let target = target.clone();
            async move { target.dial().await.map(TokioIo::new) }
        });
        Ok(self.endpoint()?.connect_with_connector_lazy(connector))
    }

    /// One TLS connection to the node.
    pub async fn dial(&self) -> Result<client::TlsStream<TcpStream>, TransportError> {
        let after = self.dial_timeout;
        let timed_out = |_| TransportError::TimedOut { address: self.address.clone(), after };
        tokio::time::timeout(after, self.dial_without_deadline()).await.map_err(timed_out)?
    }

    async fn dial_without_deadline(&self) -> Result<client::TlsStream<TcpStream>, TransportError> {
        let tcp = TcpStream::connect(&self.address).await.map_err(|e| self.unreachable(&e))?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("trireme").map_err(|e| self.unreachable(&e))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        connector.connect(name, tcp).await.map_err(|error| self.tls_error(&error))
    }

    fn endpoint(&self) -> Result<Endpoint, TransportError> {
        // `http`, as the connector below tonic does the TLS.
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).map_err(|e| {
            TransportError::BadAddress { address: self.address.clone(), reason: e.to_string() }
        })?;
        Ok(endpoint
            .connect_timeout(self.dial_timeout)
            .http2_keep_alive_interval(Duration::from_secs(2))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true))
    }

    fn tls_error(&self, error: &io::Error) -> TransportError {
        match tls_cause(error) {
            Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(
                refusal,
            )))) => {
                let (address, reason) = (self.address.clone(), refusal.to_string());
                TransportError::NotTrusted { address, reason }
            }
            Some(rustls::Error::InvalidMessage(_)) => self.unreachable(&"it does not speak TLS"),
            Some(reason) => TransportError::NotTrusted {
                address: self.address.clone(),
                reason: reason.to_string(),
            },
            None => self.unreachable(error),
        }
    }

    fn unreachable(&self, reason: &dyn std::fmt::Display) -> TransportError {
        TransportError::Unreachable { address: self.address.clone(), reason: reason.to_string() }
    }
}

impl AsyncRead for NodeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.over(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for NodeStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
