//! QUIC between nodes: one endpoint, a connection per peer, and what their streams ask for.

mod coordinators;
mod direct;
mod hello;
mod peers;
mod probe_echo;

use std::sync::Arc;
use std::time::Duration;

use protocol::control::Role;
use protocol::identity::PeerIdentity;
use protocol::plan::Edge;
use protocol::stream::{StreamAnswer, StreamHello};
use protocol::transport::{Arrival, QuicEndpoint, peer_identity};
use tokio::sync::mpsc;

use crate::error::WorkerError;
use crate::pipeline::{IncomingEdge, IncomingLink, Registry, generate_stream};
use crate::weight_store::{self, WeightStore};

pub(crate) use coordinators::keep_connected;
pub(crate) use direct::{PROBE_PATIENCE, PROBE_ROUNDS, PROBE_VALUES, serve_direct};
pub(crate) use hello::{Opened, next, open, stream_lost};
pub(crate) use peers::PeerPool;

/// A peer that opens a stream says what for within this time.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
const DIALLED_MAX: usize = 64;

/// What streams that others open are served from.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) peers: Arc<PeerPool>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Arc<WeightStore>,
}

type Dialled = mpsc::Sender<quinn::Connection>;

/// Connections that this node dialled, on their way to being served.
pub(crate) fn dialled_queue() -> (Dialled, mpsc::Receiver<quinn::Connection>) {
    mpsc::channel(DIALLED_MAX)
}

/// Serves every connection, whoever dialled it, until the endpoint is closed.
pub(crate) async fn serve(
    endpoint: QuicEndpoint,
    mut dialled: mpsc::Receiver<quinn::Connection>,
    services: Services,
) {
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { return };
                tokio::spawn(accept_connection(incoming, services.clone()));
            }
            Some(connection) = dialled.recv() => {
                match peer_identity(&connection) {
                    Ok(peer) => {
                        tokio::spawn(serve_connection(connection, peer, services.clone()));
                    }
                    Err(error) => tracing::warn!(%error, "dialled peer without an identity"),
                }
            }
        }
    }
}

async fn accept_connection(incoming: Arrival, services: Services) {
    let remote = incoming.remote_address();
    let shaken = tokio::time::timeout(HELLO_TIMEOUT, incoming.into_future()).await;
    let connection = match shaken {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::warn!(%remote, %error, "peer refused"),
        Err(_) => return tracing::warn!(%remote, "peer did not finish its handshake"),
    };
    match peer_identity(&connection) {
        Ok(peer) => serve_connection(connection, peer, services).await,
        Err(error) => tracing::warn!(%remote, %error, "peer refused"),
    }
}

async fn serve_connection(connection: quinn::Connection, peer: PeerIdentity, services: Services) {
    services.peers.adopt(peer.node, &connection);
    loop {
        match connection.accept_bi().await {
            Ok((send, receive)) => {
                let (peer, services) = (peer.clone(), services.clone());
                tokio::spawn(async move {
                    let node = peer.node;
                    if let Err(error) = serve_stream(send, receive, peer, services).await {
                        tracing::debug!(peer = %node.short(), %error, "stream ended");
                    }
                });
            }
            Err(error) => {
                tracing::info!(peer = %peer.node.short(), %error, "connection ended");
                services.peers.forget(peer.node, &connection);
                return;
            }
        }
    }
}

async fn serve_stream(
    send: quinn::SendStream,
    receive: quinn::RecvStream,
    peer: PeerIdentity,
    services: Services,
) -> Result<(), WorkerError> {
    let mut stream = hello::Accepted::read(send, receive, &peer, HELLO_TIMEOUT).await?;
    match stream.hello.clone() {
        StreamHello::Generate => {
            if peer.role != Role::Coordinator {
                let reason = "only coordinators may generate".to_owned();
                return stream.answer(StreamAnswer::Forbidden { reason }).await;
            }
            match services.registry.head(stream.key) {
                Ok(head) => {
                    stream.answer(StreamAnswer::Ok).await?;
                    generate_stream::serve(stream.writer, stream.reader, stream.key, &head).await
                }
                Err(answer) => stream.answer(answer).await,
            }
        }
        StreamHello::Edge { from, to } => {
            match services.registry.claim(stream.key, Edge { from, to }, peer.node) {
                Ok(slot) => {
                    stream.answer(StreamAnswer::Ok).await?;
                    let edge = IncomingEdge { reader: stream.reader, keep_open: stream.writer };
                    // A pipeline that went away meanwhile drops the stream, which tells the peer.
                    drop(slot.send(edge));
                    Ok(())
                }
                Err(answer) => stream.answer(answer).await,
            }
        }
        StreamHello::Group { from, to } => {
            match services.registry.claim_link(stream.key, Edge { from, to }, peer.node) {
                Ok(slot) => {
                    stream.answer(StreamAnswer::Ok).await?;
                    // A pipeline that went away meanwhile drops the stream, which tells the peer.
                    drop(slot.try_send(IncomingLink::Stream(stream.reader, stream.writer)));
                    Ok(())
                }
                Err(answer) => stream.answer(answer).await,
            }
        }
        StreamHello::Weights => {
            stream.answer(StreamAnswer::Ok).await?;
            let served = weight_store::serve(stream.writer, stream.reader, services.store).await;
            served.map_err(|error| stream_lost(&peer.node.short(), &error))
        }
        StreamHello::Probe => {
            stream.answer(StreamAnswer::Ok).await?;
            probe_echo::serve(stream.writer, stream.reader, &peer.node.short()).await
        }
    }
}
