//! The API port: plain HTTP on loopback, else TLS with a certificate of the cluster's CA.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use protocol::transport::{Doorkeeper, Stranger, StrangerLimits};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

const CONNECTIONS_MAX: usize = 4096;
/// A whole team may call from behind one address at the same moment.
const STRANGERS: StrangerLimits = StrangerLimits { in_all: 2048, per_address: 1024 };
/// Connections that come while the node drains: each is told so and closed.
const LATECOMERS_MAX: usize = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection may wait this long for its next request's head, or for its first.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// What a node that drains gives a new connection to send its request.
const FIRST_REQUEST_WAIT: Duration = Duration::from_secs(2);
/// An HTTP/2 connection that is silent is asked this often whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Serves until `closing` turns true; connections then end after the request they are at, and new
/// ones after their first, which the router refuses.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    closing: watch::Receiver<bool>,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let door = Doorkeeper::new("API", STRANGERS);
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = set(closing.clone()) => break,
        };
        let Some(accepted) = usable(accepted, &door).await else { continue };
        start(accepted, tls.clone(), router.clone(), closing.clone(), permit);
    }
    let refusing = async {
        let connections = Arc::new(Semaphore::new(LATECOMERS_MAX));
        loop {
            let Some(accepted) = usable(listener.accept().await, &door).await else { continue };
            let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else { continue };
            start(accepted, tls.clone(), router.clone(), closing.clone(), permit);
        }
    };
    tokio::select! {
        // Every permit back means that every connection ended.
        ended = connections.acquire_many(CONNECTIONS_MAX as u32) => drop(ended),
        () = refusing => {}
    }
}

/// The connection, and its place among those that have not shown who they are.
async fn usable(
    accepted: std::io::Result<(TcpStream, SocketAddr)>,
    door: &Doorkeeper,
) -> Option<(TcpStream, Stranger)> {
    match accepted {
        Ok((stream, remote)) => Some((stream, door.admit(remote.ip()))),
        Err(error) => {
            // Out of file descriptors, mostly: pause instead of spinning.
            tracing::warn!(%error, "cannot accept an API connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

fn start(
    (stream, stranger): (TcpStream, Stranger),
    tls: Option<TlsAcceptor>,
    router: Router,
    closing: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
) {
    tokio::spawn(async move {
        connection(stream, stranger, tls, router, closing).await;
        drop(permit);
    });
}

async fn connection(
    stream: TcpStream,
    mut stranger: Stranger,
    tls: Option<TlsAcceptor>,
    router: Router,
    closing: watch::Receiver<bool>,
) {
    // Tokens are small and must not wait for more of them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return exchange(TokioIo::new(stream), stranger, Http::One, router, closing).await;
    };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => shaken,
        // Logged by the doorkeeper, who counts them.
        () = stranger.shown_out() => return,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let http = if two { Http::Two } else { Http::One };
            exchange(TokioIo::new(stream), stranger, http, router, closing).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "API handshake failed"),
        Err(_) => tracing::debug!("API handshake timed out"),
    }
}

/// The version that the TLS handshake agreed on; plain connections speak HTTP/1.1. Looking at the
/// first bytes instead would wait for them without a deadline.
enum Http {
    One,
    Two,
}

/// A connection counts as a stranger's until its first request is read as a whole head.
async fn exchange<I>(
    io: I,
    mut stranger: Stranger,
    http: Http,
    router: Router,
    closing: watch::Receiver<bool>,
) where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (first, asked) = watch::channel(false);
    let router = router.layer(from_fn(move |request: Request, next: Next| {
        first.send_replace(true);
        next.run(request)
    }));
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL);
    let server = match http {
        Http::One => server.http1_only(),
        Http::Two => server.http2_only(),
    };
    let serving = server.serve_connection(io, TowerToHyperService::new(router));
    tokio::pin!(serving);
    let strange = async {
        tokio::select! {
            () = set(asked.clone()) => {
                drop(stranger);
                std::future::pending::<()>().await;
            }
            () = stranger.shown_out() => {}
        }
    };
    let leaving = async {
        set(closing).await;
        // Closed before its first request is read, the client would not learn where to turn.
        let _ = tokio::time::timeout(FIRST_REQUEST_WAIT, set(asked.clone())).await;
    };
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = strange => return,
        () = leaving => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "API connection ended");
    }
}

/// Resolves once `flag` is true, or nobody can set it any more.
async fn set(mut flag: watch::Receiver<bool>) {
    let _ = flag.wait_for(|flag| *flag).await;
}
