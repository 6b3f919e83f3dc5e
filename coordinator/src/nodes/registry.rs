//! The workers that are connected to this coordinator: control streams and QUIC connections.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::control::CoordinatorMessage;
use protocol::ids::NodeId;
use tokio::sync::{mpsc, oneshot};

/// Messages that wait for a slow worker; one more and its stream is cut, so that it registers
/// anew and gets its full set again.
pub(crate) const OUTGOING_MAX: usize = 64;

#[derive(Default)]
pub struct WorkerRegistry {
    workers: Mutex<Workers>,
}

#[derive(Default)]
struct Workers {
    last_generation: u64,
    streams: BTreeMap<NodeId, ControlStream>,
    connections: BTreeMap<NodeId, quinn::Connection>,
}

struct ControlStream {
    generation: u64,
    outgoing: mpsc::Sender<CoordinatorMessage>,
    /// Dropped with the stream's entry: tells the task that reads it.
    _cut: oneshot::Sender<()>,
}

impl WorkerRegistry {
    /// Notes a new control stream, in place of an older one, which ends: its generation, and what
    /// resolves once the stream is cut from this side.
    pub(crate) fn attach(
        &self,
        node: NodeId,
        outgoing: mpsc::Sender<CoordinatorMessage>,
    ) -> (u64, oneshot::Receiver<()>) {
        let (_cut, is_cut) = oneshot::channel();
        let mut workers = self.lock();
        workers.last_generation += 1;
        let generation = workers.last_generation;
        workers.streams.insert(node, ControlStream { generation, outgoing, _cut });
        (generation, is_cut)
    }

    /// Ends every control stream and data connection: the coordinator is leaving.
    pub(crate) fn cut_all(&self) {
        let mut workers = self.lock();
        workers.streams.clear();
        for connection in std::mem::take(&mut workers.connections).into_values() {
            connection.close(0u32.into(), b"the coordinator is shutting down");
        }
    }

    /// False when a newer stream took this one's place, or it was cut already.
    pub(crate) fn detach(&self, node: NodeId, generation: u64) -> bool {
        let mut workers = self.lock();
        let current = workers.streams.get(&node).is_some_and(|s| s.generation == generation);
        if current {
            workers.streams.remove(&node);
        }
        current
    }

    pub fn is_attached(&self, node: NodeId) -> bool {
        self.lock().streams.contains_key(&node)
    }

    /// False when the worker has no control stream here, or takes nothing from it.
    pub(crate) fn send(&self, node: NodeId, message: CoordinatorMessage) -> bool {
        let mut workers = self.lock();
        let Some(stream) = workers.streams.get(&node) else { return false };
        let sent = stream.outgoing.try_send(message).is_ok();
        if !sent {
            tracing::warn!(node = %node.short(), "worker does not read its control stream: cut");
            workers.streams.remove(&node);
        }
        sent
    }

    pub(crate) fn connected(&self, node: NodeId, connection: quinn::Connection) {
        let older = self.lock().connections.insert(node, connection);
        if let Some(older) = older {
            older.close(0u32.into(), b"a newer connection took this one's place");
        }
    }

    /// Forgets a connection that ended, unless a newer one is there.
    pub(crate) fn disconnected(&self, node: NodeId, connection: &quinn::Connection) {
        let mut workers = self.lock();
        let same = |c: &quinn::Connection| c.stable_id() == connection.stable_id();
        if workers.connections.get(&node).is_some_and(same) {
            workers.connections.remove(&node);
        }
    }

    pub(crate) fn connection(&self, node: NodeId) -> Option<quinn::Connection> {
        self.lock().connections.get(&node).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
