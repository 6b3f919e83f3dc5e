//! One QUIC connection to every coordinator, on which it opens `Generate` and `Weights` streams.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::control::CoordinatorAddress;
use protocol::ids::NodeId;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::PeerPool;
use crate::control_link::Backoff;

/// Follows the list of coordinators until its sender is dropped.
pub(crate) async fn keep_connected(
    peers: Arc<PeerPool>,
    mut lists: watch::Receiver<Vec<CoordinatorAddress>>,
    attached: watch::Receiver<usize>,
    reconnect_max: Duration,
) {
    // Dropped with this task, and all links with it.
    let mut tasks = JoinSet::new();
    let mut links = BTreeMap::new();
    loop {
        let wanted = lists.borrow_and_update().clone();
        peers.learn(wanted.iter().map(|c| (c.node, vec![c.address.clone()])));
        links.retain(|node: &NodeId, link: &mut AbortHandle| {
            let keep = wanted.iter().any(|c| c.node == *node);
            if !keep {
                link.abort();
            }
            keep
        });
        for coordinator in wanted {
            links.entry(coordinator.node).or_insert_with(|| {
                let peers = Arc::clone(&peers);
                tasks.spawn(keep_one(peers, coordinator.node, attached.clone(), reconnect_max))
            });
        }
        if lists.changed().await.is_err() {
            return;
        }
    }
}

/// Dials only while a coordinator has this very process attached: a second one of the same identity
/// must not take the first one's place.
async fn keep_one(
    peers: Arc<PeerPool>,
    coordinator: NodeId,
    mut attached: watch::Receiver<usize>,
    reconnect_max: Duration,
) {
    let mut backoff = Backoff::new(reconnect_max);
    loop {
        if attached.wait_for(|sessions| *sessions > 0).await.is_err() {
            return;
        }
        match peers.reach(coordinator).await {
            Ok(connection) => {
                backoff.reset();
                let error = connection.closed().await;
                tracing::info!(coordinator = %coordinator.short(), %error, "data plane lost");
            }
            Err(error) => tracing::debug!(%error, "coordinator not reached over QUIC"),
        }
        backoff.pause().await;
    }
}
