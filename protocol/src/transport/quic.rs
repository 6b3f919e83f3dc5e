//! The QUIC data plane: one UDP endpoint per node that both dials and accepts, mutual TLS inside.

use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use rustls_pki_types::CertificateDer;

use super::doorkeeper::{Doorkeeper, Stranger, StrangerLimits};
use super::error::TransportError;
use super::tls::{ClientCertificate, NodeTls, QUIC_ALPN};
use crate::identity::PeerIdentity;
use crate::ids::NodeId;

/// Largest datagram that GSO can carry ten at a time: the kernel takes 65,507 bytes, above about
/// 6,500 whole bursts are lost. Discovery only climbs as far as the path allows (loopback, jumbo
/// frames); a 16 KiB hop on loopback falls from 48 to 31 us.
const DATAGRAM_BYTES_MAX: u16 = 6_500;
/// Unfinished handshakes from which on addresses are checked before any work is done for them.
const PROOF_ABOVE: usize = 32;
/// The server name of every dial; certificates are checked by node id instead.
const SERVER_NAME: &str = "trireme";

/// Timeouts and limits of a QUIC endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicSettings {
    /// Silence after which a connection counts as lost.
    pub idle_timeout: Duration,
    /// Must be well below `idle_timeout`.
    pub keep_alive: Duration,
    /// Bidirectional streams that a peer may have open on one connection.
    pub streams_max: u32,
    /// Bytes that a peer may send ahead on one stream: as many maximal frames as are in flight.
    pub stream_window_bytes: u32,
    /// Deadline for one dial, handshake included.
    pub dial_timeout: Duration,
}

impl Default for QuicSettings {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(1),
            keep_alive: Duration::from_millis(200),
            streams_max: 1024,
            stream_window_bytes: 64 << 20,
            dial_timeout: Duration::from_secs(3),
        }
    }
}

/// A node's UDP socket; cheap to clone.
#[derive(Clone)]
pub struct QuicEndpoint {
    endpoint: quinn::Endpoint,
    tls: NodeTls,
    transport: Arc<TransportConfig>,
    settings: QuicSettings,
    door: Doorkeeper,
}

/// A dial from outside, not yet shaken hands with: awaiting it does that.
pub struct Arrival {
    incoming: quinn::Incoming,
    stranger: Stranger,
}

impl Arrival {
    pub fn remote_address(&self) -> SocketAddr {
        self.incoming.remote_address()
    }
}

impl IntoFuture for Arrival {
    type Output = Result<quinn::Connection, quinn::ConnectionError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { incoming, mut stranger } = self;
        Box::pin(async move {
            tokio::select! {
                shaken = incoming.into_future() => shaken,
                () = stranger.shown_out() => Err(quinn::ConnectionError::LocallyClosed),
            }
        })
    }
}

impl QuicEndpoint {
    /// Must be called inside a tokio runtime. Port 0 takes a free one, see `local_address`.
    pub fn bind(
        address: SocketAddr,
        tls: NodeTls,
        settings: QuicSettings,
    ) -> Result<Self, TransportError> {
        let listen = |reason: std::io::Error| TransportError::Listen {
            address: address.to_string(),
            reason: reason.to_string(),
        };
        Self::on_socket(UdpSocket::bind(address).map_err(listen)?, tls, settings)
    }

    /// Like `bind`, on a socket that is bound already.
    pub fn on_socket(
        socket: UdpSocket,
        tls: NodeTls,
        settings: QuicSettings,
    ) -> Result<Self, TransportError> {
        let transport = Arc::new(transport(&settings));
        let crypto = tls.server(ClientCertificate::Required, QUIC_ALPN)?;
        let crypto = QuicServerConfig::try_from(crypto).map_err(no_initial_cipher)?;
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        server.transport_config(Arc::clone(&transport));
        let mut config = EndpointConfig::default();
        config.max_udp_payload_size(DATAGRAM_BYTES_MAX).map_err(|error| {
            TransportError::Tls(rustls::Error::General(format!("datagram size: {error}")))
        })?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = quinn::Endpoint::new(config, Some(server), socket, runtime)?;
        let door = Doorkeeper::new("QUIC", StrangerLimits::default());
        Ok(Self { endpoint, tls, transport, settings, door })
    }

    pub fn tls(&self) -> &NodeTls {
        &self.tls
    }

    pub fn local_address(&self) -> Result<SocketAddr, TransportError> {
        Ok(self.endpoint.local_addr()?)
    }

    /// The next dial from outside, not yet shaken hands with; `None` once the endpoint is closed.
    pub async fn accept(&self) -> Option<Arrival> {
        loop {
            let incoming = self.endpoint.accept().await?;
            // While there are many, an address must prove that it receives what is sent to it.
            let many = self.door.unfinished() >= PROOF_ABOVE;
            if many && !incoming.remote_address_validated() && incoming.may_retry() {
                // Fails only where it may not be asked.
                let _ = incoming.retry();
                continue;
            }
            let stranger = self.door.admit(incoming.remote_address().ip());
            return Some(Arrival { incoming, stranger });
        }
    }

    /// Dials `address`; fails when the node there is not `expected`.
    pub async fn dial(
        &self,
        address: SocketAddr,
        expected: Option<NodeId>,
    ) -> Result<quinn::Connection, TransportError> {
        let crypto = self.tls.client(expected, QUIC_ALPN)?;
        let crypto = QuicClientConfig::try_from(crypto).map_err(no_initial_cipher)?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::clone(&self.transport));
        let unreachable =
            |reason: String| TransportError::Unreachable { address: address.to_string(), reason };
        let connecting = self
            .endpoint
            .connect_with(config, address, SERVER_NAME)
            .map_err(|error| unreachable(error.to_string()))?;
        let after = self.settings.dial_timeout;
        match tokio::time::timeout(after, connecting).await {
            Err(_) => Err(TransportError::TimedOut { address: address.to_string(), after }),
            Ok(Err(error)) => Err(dial_error(&address.to_string(), error)),
            Ok(Ok(connection)) => Ok(connection),
        }
    }

    /// Dials the `host:port`s in order until one answers; the last failure is the error.
    pub async fn dial_any(
        &self,
        addresses: &[String],
        expected: Option<NodeId>,
    ) -> Result<quinn::Connection, TransportError> {
        let mut last = TransportError::BadAddress {
            address: String::new(),
            reason: "no address is known".into(),
        };
        for address in addresses {
            match self.dial_host(address, expected).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Closes every connection at once; peers see it as closed, not as lost.
    pub fn close(&self, reason: &str) {
        self.endpoint.close(VarInt::from_u32(0), reason.as_bytes());
    }

    /// Waits until the peers have heard of `close`; bound it by a deadline.
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }

    async fn dial_host(
        &self,
        address: &str,
        expected: Option<NodeId>,
    ) -> Result<quinn::Connection, TransportError> {
        let after = self.settings.dial_timeout;
        let bad = |reason: String| TransportError::BadAddress { address: address.into(), reason };
        let found = tokio::time::timeout(after, tokio::net::lookup_host(address))
            .await
            .map_err(|_| TransportError::TimedOut { address: address.into(), after })?
            .map_err(|error| bad(error.to_string()))?;
        // An IPv4 socket cannot reach an IPv6 address.
        let v6 = self.local_address()?.is_ipv6();
        let usable = found.into_iter().find(|candidate| v6 || candidate.is_ipv4());
        let usable = usable.ok_or_else(|| bad("it has no address of this socket's kind".into()))?;
        self.dial(usable, expected).await
    }
}

/// Who is at the other end, by its verified certificate.
pub fn peer_identity(connection: &quinn::Connection) -> Result<PeerIdentity, TransportError> {
    let chain = connection.peer_identity().ok_or(TransportError::NoPeerCertificate)?;
    let chain = chain
        .downcast::<Vec<CertificateDer<'static>>>()
        .map_err(|_| TransportError::NoPeerCertificate)?;
    let own = chain.first().ok_or(TransportError::NoPeerCertificate)?;
    Ok(PeerIdentity::from_certificate(own)?)
}

fn transport(settings: &QuicSettings) -> TransportConfig {
    let idle = IdleTimeout::try_from(settings.idle_timeout)
        .unwrap_or_else(|_| IdleTimeout::from(VarInt::from_u32(u32::MAX)));
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(DATAGRAM_BYTES_MAX);
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(settings.keep_alive))
        .max_concurrent_bidi_streams(VarInt::from_u32(settings.streams_max))
        .max_concurrent_uni_streams(VarInt::from_u32(settings.streams_max))
        .stream_receive_window(VarInt::from_u32(settings.stream_window_bytes))
        .send_window(2 * u64::from(settings.stream_window_bytes))
        .datagram_receive_buffer_size(None)
        // Off doubles the cost of a hop.
        .enable_segmentation_offload(true)
        .mtu_discovery_config(Some(mtu));
    config
}

fn dial_error(address: &str, error: quinn::ConnectionError) -> TransportError {
    let (address, reason) = (address.to_owned(), error.to_string());
    match error {
        // A TLS alert of either side arrives as a transport error.
        quinn::ConnectionError::TransportError(_) => TransportError::NotTrusted { address, reason },
        _ => TransportError::Unreachable { address, reason },
    }
}

fn no_initial_cipher(error: quinn::crypto::rustls::NoInitialCipherSuite) -> TransportError {
    TransportError::Tls(rustls::Error::General(error.to_string()))
}
