//! The thread of the control streams: a session per coordinator of the current list.

use std::collections::BTreeMap;

use protocol::control::CoordinatorAddress;
use protocol::ids::NodeId;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::{Shared, session};
use crate::error::WorkerError;

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
    loop {
        let started = Instant::now();
        let ended = session::run(&shared, &coordinator).await;
        if started.elapsed() > shared.reconnect_max {
            backoff.reset();
        }
        let node = coordinator.node.short();
        match ended {
            Ok(()) => {
                tracing::info!(coordinator = %node, "control stream closed by the coordinator")
            }
            Err(error) => tracing::warn!(coordinator = %node, %error, "control stream"),
        }
        backoff.pause().await;
    }
}
