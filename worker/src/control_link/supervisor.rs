//! The thread of the control streams: a session per coordinator of the current list.

use std::collections::BTreeMap;

use protocol::control::{CoordinatorAddress, CoordinatorMessage};
use protocol::ids::NodeId;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::session::{self, End};
use super::{Inbound, Shared};
use crate::error::WorkerError;

/// A predecessor that was killed or froze is given up by then, and its successor let in.
const DUPLICATE_TRIES: u32 = 8;

/// Runs until the list's sender is dropped.
pub(super) fn start_thread(
    shared: Shared,
    lists: watch::Receiver<Vec<CoordinatorAddress>>,
) -> Result<(), WorkerError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(WorkerError::Thread)?;
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || runtime.block_on(supervise(shared, lists)))
        .map_err(WorkerError::Thread)?;
    Ok(())
}

async fn supervise(shared: Shared, mut lists: watch::Receiver<Vec<CoordinatorAddress>>) {
    let mut sessions: BTreeMap<NodeId, (CoordinatorAddress, AbortHandle)> = BTreeMap::new();
    loop {
        let wanted = lists.borrow_and_update().clone();
        sessions.retain(|_, (held, task)| {
            let keep = wanted.contains(held);
            if !keep {
                task.abort();
            }
            keep
        });
        for coordinator in wanted {
            sessions.entry(coordinator.node).or_insert_with(|| {
                let task = tokio::spawn(keep_attached(shared.clone(), coordinator.clone()));
                (coordinator, task.abort_handle())
            });
        }
        if lists.changed().await.is_err() {
            return;
        }
    }
}

/// Attaches again and again; a session that lasted starts the pauses over.
async fn keep_attached(shared: Shared, coordinator: CoordinatorAddress) {
    let mut backoff = Backoff::new(shared.reconnect_max);
    let mut duplicates = 0;
    loop {
        let started = Instant::now();
        let ended = session::run(&shared, &coordinator).await;
        if started.elapsed() > shared.reconnect_max {
            backoff.reset();
        }
        let node = coordinator.node.short();
        duplicates = if matches!(ended, Err(End::Duplicate { .. })) { duplicates + 1 } else { 0 };
        match ended {
            Ok(()) => {
                tracing::info!(coordinator = %node, "control stream closed by the coordinator")
            }
            Err(End::Duplicate { address }) => {
                tracing::error!(
                    coordinator = %node, %address,
                    "another process with this node's identity is attached from there"
                );
                if duplicates == DUPLICATE_TRIES {
                    let message = CoordinatorMessage::Duplicate { address };
                    let _ = shared.inbound.send(Inbound { from: coordinator.node, message }).await;
                    return;
                }
            }
            Err(End::Removed) => {
                let message = CoordinatorMessage::Removed;
                let _ = shared.inbound.send(Inbound { from: coordinator.node, message }).await;
                return;
            }
            Err(End::Broken(error)) => {
                tracing::warn!(coordinator = %node, %error, "control stream")
            }
        }
        backoff.pause().await;
    }
}
