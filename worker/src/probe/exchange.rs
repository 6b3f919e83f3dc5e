//! What an exchange inside a group would take, over a direct socket and over QUIC.

use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::collective::{Collective, Fate, Mesh};
use protocol::ids::NodeId;
use protocol::node_profile::ExchangeProfile;
use protocol::stream::StreamHello;
use protocol::transport::{FrameReader, FrameWriter};

use super::link::{NO_EPOCH, send};
use crate::collective::DirectLink;
use crate::data_plane::{PROBE_PATIENCE, PROBE_ROUNDS, PROBE_VALUES, PeerPool, next};
use crate::error::WorkerError;

/// Rounds before the first that counts.
const WARM_UP: usize = 10;

/// None where no direct socket can be had.
pub(super) async fn measure_direct(peers: &PeerPool, peer: NodeId) -> Option<f64> {
    let dialled = peers.dial_direct(peer, &StreamHello::Probe, NO_EPOCH, PROBE_PATIENCE);
    // Whatever a firewall does with each address, the link itself must be reported in time.
    let stream = match tokio::time::timeout(PROBE_PATIENCE, dialled).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(peer = %peer.short(), %error, "no direct socket");
            return None;
        }
        Err(_) => return None,
    };
    let socket = stream.into_socket().ok()?;
    let exchanging = tokio::task::spawn_blocking(move || exchanges(DirectLink(socket)));
    exchanging.await.ok()?.map(|mut times| median(&mut times))
}

fn exchanges(link: DirectLink) -> Option<Vec<Duration>> {
    let mut mesh = Mesh::new(0, vec![(1, Box::new(link))], Fate::default(), PROBE_PATIENCE);
    let mut values = [0.0; PROBE_VALUES];
    let mut times = Vec::with_capacity(PROBE_ROUNDS);
    for _ in 0..PROBE_ROUNDS {
        let started = Instant::now();
        mesh.all_reduce(&mut values).ok()?;
        times.push(started.elapsed());
    }
    Some(times.split_off(WARM_UP))
}

/// Half the round trip of as many bytes over an echoing stream: an exchange goes both ways at once.
pub(super) async fn measure_quic(
    writer: &mut FrameWriter,
    reader: &mut FrameReader,
    node: &str,
) -> Result<Option<f64>, WorkerError> {
    let body = Bytes::from(vec![0_u8; ExchangeProfile::BYTES as usize]);
    let mut times = Vec::with_capacity(PROBE_ROUNDS);
    for _ in 0..PROBE_ROUNDS {
        let started = Instant::now();
        send(writer, body.clone(), node).await?;
        next(reader, node).await?;
        times.push(started.elapsed() / 2);
    }
    Ok(Some(median(&mut times.split_off(WARM_UP))))
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::INFINITY, Duration::as_secs_f64)
}
