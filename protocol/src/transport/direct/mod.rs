//! TLS over TCP between two ranks of a group: opened by tasks, then owned and polled by a thread.

mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

pub use socket::DirectSocket;

use super::doorkeeper::{Doorkeeper, Stranger, StrangerLimits};
use super::error::TransportError;
use super::tls::{ClientCertificate, DIRECT_ALPN, NodeTls};
use crate::error::ProtocolError;
use crate::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader};
use crate::identity::PeerIdentity;
use crate::ids::NodeId;

/// What is said before a connection is handed to a thread: hellos and answers.
const FRAME_BYTES_MAX: usize = 64 << 10;

/// Where peers dial; at the address of the node's QUIC socket, on TCP.
pub struct DirectListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    door: Doorkeeper,
}

/// A dial from outside, not yet shaken hands with.
pub struct Knock {
    tcp: TcpStream,
    stranger: Stranger,
}

/// A connection whose peer has proved who it is.
pub struct DirectStream {
    peer: PeerIdentity,
    stream: TlsStream<TcpStream>,
}

impl DirectListener {
    pub async fn bind(address: SocketAddr, tls: &NodeTls) -> Result<Self, TransportError> {
        let config = tls.server(ClientCertificate::Required, DIRECT_ALPN)?;
        let listener = TcpListener::bind(address).await.map_err(|error| {
            TransportError::Listen { address: address.to_string(), reason: error.to_string() }
        })?;
        let door = Doorkeeper::new("direct", StrangerLimits::default());
        Ok(Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), door })
    }

    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next dial from outside, not yet shaken hands with.
    pub async fn accept(&self) -> io::Result<Knock> {
        let (tcp, remote) = self.listener.accept().await?;
        Ok(Knock { tcp, stranger: self.door.admit(remote.ip()) })
    }

    /// Shakes hands within `deadline`.
    pub fn shake(
        &self,
        knock: Knock,
        deadline: Duration,
    ) -> impl Future<Output = Result<DirectStream, TransportError>> + Send + 'static {
        let acceptor = self.acceptor.clone();
        async move {
            let Knock { tcp, mut stranger } = knock;
            let address = tcp.peer_addr()?.to_string();
            tcp.set_nodelay(true)?;
            let shaking = tokio::time::timeout(deadline, acceptor.accept(tcp));
            let shaken = tokio::select! {
                shaken = shaking => shaken,
                () = stranger.shown_out() => return Err(closed_early()),
            };
            let late = |_| TransportError::TimedOut { address, after: deadline };
            DirectStream::of(TlsStream::Server(shaken.map_err(late)??))
        }
    }
}

impl DirectStream {
    /// Dials the `host:port`s in order until one answers, as `expected` where that names a node;
    /// each has `deadline`.
    pub async fn dial_any(
        tls: &NodeTls,
        addresses: &[String],
        expected: Option<NodeId>,
        deadline: Duration,
    ) -> Result<Self, TransportError> {
        let config = tls.client(expected, DIRECT_ALPN)?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut last = TransportError::BadAddress {
            address: String::new(),
            reason: "no address is known".to_owned(),
        };
        for address in addresses {
            match tokio::time::timeout(deadline, dial(&connector, address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => {
                    let (address, after) = (address.clone(), deadline);
                    last = TransportError::TimedOut { address, after };
                }
            }
        }
        Err(last)
    }

    /// Who is at the other end, by its verified certificate.
    pub fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    /// This end of the connection.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.local_addr()
    }

    pub async fn send(&mut self, frame: &Frame) -> Result<(), TransportError> {
        self.stream.write_all(&frame.encode_head()).await?;
        self.stream.write_all(&frame.body).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next frame; waits without a deadline: that is the caller's.
    pub async fn recv(&mut self) -> Result<Frame, TransportError> {
        let mut header = [0; FRAME_HEADER_BYTES];
        self.stream.read_exact(&mut header).await?;
        let header = FrameHeader::parse(&header)?;
        let length = header.payload_bytes();
        if length > FRAME_BYTES_MAX {
            return Err(ProtocolError::Truncated.into());
        }
        let mut payload = BytesMut::zeroed(length);
        self.stream.read_exact(&mut payload).await?;
        Ok(header.finish(payload.freeze())?)
    }

    /// Hands the connection to whoever will poll it.
    pub fn into_socket(self) -> Result<DirectSocket, TransportError> {
        let (tcp, tls) = match self.stream {
            TlsStream::Client(stream) => {
                let (tcp, tls) = stream.into_inner();
                (tcp, rustls::Connection::Client(tls))
            }
            TlsStream::Server(stream) => {
                let (tcp, tls) = stream.into_inner();
                (tcp, rustls::Connection::Server(tls))
            }
        };
        Ok(DirectSocket::new(tcp.into_std()?, tls))
    }

    fn of(stream: TlsStream<TcpStream>) -> Result<Self, TransportError> {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let own = chain.first().ok_or(TransportError::NoPeerCertificate)?;
        Ok(Self { peer: PeerIdentity::from_certificate(own)?, stream })
    }
}

fn closed_early() -> TransportError {
    io::Error::other("closed to make room for others").into()
}

async fn dial(connector: &TlsConnector, address: &str) -> Result<DirectStream, TransportError> {
    let unreachable = |error: io::Error| TransportError::Unreachable {
        address: address.to_owned(),
        reason: error.to_string(),
    };
    let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
    tcp.set_nodelay(true)?;
    // Certificates are checked by node id instead.
    let name = ServerName::try_from("trireme").map_err(|error| TransportError::BadAddress {
        address: address.to_owned(),
        reason: error.to_string(),
    })?;
    let stream = connector.connect(name, tcp).await.map_err(unreachable)?;
    DirectStream::of(TlsStream::Client(stream))
}
