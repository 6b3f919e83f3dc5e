//! What coordinators ask for beside shards: their own list, imports, forgetting, link probes.

use std::path::PathBuf;
use std::sync::Arc;

use protocol::control::{
    CommandProgress, CoordinatorAddress, CoordinatorMessage, PeerAddress, WorkerMessage,
};

use super::{Driver, Outcome};
use crate::control_link::Inbound;
use crate::error::WorkerError;
use crate::import;
use crate::probe::measure_link;
use crate::shard::ShardEvent;

impl Driver {
    /// An error ends the worker.
    pub(super) fn command(&mut self, inbound: Inbound) -> Result<(), WorkerError> {
        let from = inbound.from.short();
        match inbound.message {
            CoordinatorMessage::Welcome { cluster, heartbeat_interval_ms, .. } => {
                tracing::info!(%cluster, coordinator = %from, heartbeat_interval_ms, "attached");
            }
            CoordinatorMessage::Coordinators { coordinators, applied } => {
                self.coordinators(coordinators, applied);
            }
            CoordinatorMessage::Desired(set) => {
                self.parts.context.peers.learn(set.addresses.clone());
                self.feed(ShardEvent::Desired(set));
            }
            CoordinatorMessage::Import { operation, path } => self.import(operation, path),
            CoordinatorMessage::Forget { manifests } => {
                for manifest in manifests {
                    if let Err(error) = self.parts.store.forget(manifest) {
                        tracing::warn!(manifest = %manifest.short(), %error, "not forgotten");
                    }
                }
                self.parts.registration.held_manifests = self.parts.store.held_manifests();
            }
            CoordinatorMessage::ProbeLinks { peers } => self.probe_links(peers),
            CoordinatorMessage::Duplicate { address } => {
                let path = self.parts.identity.folder().to_owned();
                return Err(WorkerError::Duplicate { address, path });
            }
            CoordinatorMessage::Trust(trust) => {
                self.parts.trust.send_if_modified(|known| {
                    let newer = trust.applied > known.applied;
                    if newer {
                        *known = trust;
                    }
                    newer
                });
            }
            CoordinatorMessage::Release { reason } => self.released(&reason),
            CoordinatorMessage::Removed => return Err(WorkerError::Removed),
            // Answered over the stream that it came on, by its session.
            CoordinatorMessage::Ask { .. } => {}
        }
        Ok(())
    }

    /// The list of the coordinator that knows most; one that is catching up must not undo it.
    fn coordinators(&mut self, list: Vec<CoordinatorAddress>, applied: u64) {
        if applied < self.coordinators_applied {
            return;
        }
        self.coordinators_applied = applied;
        if list.is_empty() || *self.parts.link.coordinators().borrow() == list {
            return;
        }
        if let Err(error) = self.parts.identity.save_coordinators(&list) {
            tracing::error!(%error, "the list of coordinators is not kept");
        }
        let addresses = list.iter().map(|c| (c.node, vec![c.address.clone()]));
        self.parts.context.peers.learn(addresses);
        self.parts.link.set_coordinators(list);
    }

    fn import(&mut self, operation: String, path: String) {
        if !self.operations.insert(operation.clone()) {
            return;
        }
        let reporter = self.parts.link.reporter();
        let store = Arc::clone(&self.parts.store);
        let outcomes = self.parts.context.outcomes.clone();
        tokio::task::spawn_blocking(move || {
            let report = |progress: CommandProgress| {
                let operation = operation.clone();
                reporter.send(WorkerMessage::Progress { operation, progress });
            };
            let end =
                import::import(&store, &PathBuf::from(path), &mut |progress| report(progress));
            report(
                end.unwrap_or_else(|error| CommandProgress::Failed { reason: error.to_string() }),
            );
            // Fails only when the worker is shutting down.
            let _ = outcomes.blocking_send(Outcome::OperationEnded { operation });
        });
    }

    /// One peer after the other, so that the measurements do not disturb each other.
    fn probe_links(&mut self, peers: Vec<PeerAddress>) {
        let (own, pool) = (self.own(), Arc::clone(&self.parts.context.peers));
        let others: Vec<_> = peers.into_iter().filter(|peer| peer.node != own).collect();
        pool.learn(others.iter().map(|peer| (peer.node, peer.addresses.clone())));
        let reporter = self.parts.link.reporter();
        tokio::spawn(async move {
            for peer in others {
                let link = measure_link(&pool, peer.node).await;
                reporter.send(WorkerMessage::Link { peer: peer.node, link });
            }
        });
    }
}
