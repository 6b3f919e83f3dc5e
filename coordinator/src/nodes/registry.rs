//! The workers that are connected to this coordinator: control streams and QUIC connections.

mod questions;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::control::{CoordinatorMessage, Trust};
use protocol::ids::NodeId;
use protocol::questions::Answer;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::questions::AskError;

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
    last_question: u64,
    streams: BTreeMap<NodeId, ControlStream>,
    connections: BTreeMap<NodeId, quinn::Connection>,
}

struct ControlStream {
    generation: u64,
    from: Attached,
    heard: Instant,
    outgoing: mpsc::Sender<CoordinatorMessage>,
    /// Questions that it has not answered, by their number.
    asked: BTreeMap<u64, oneshot::Sender<Answer>>,
    /// Dropped with the stream's entry: tells the task that reads it.
    _cut: oneshot::Sender<()>,
}

/// Who is at the other end of a control stream.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    pub(crate) remote: SocketAddr,
    /// Drawn at the start of the process; empty where an earlier version runs.
    pub(crate) instance: String,
    /// It says that it answers questions.
    pub(crate) answers: bool,
}

impl WorkerRegistry {
    /// Notes a new control stream, in place of an older one, which ends: its generation, and what
    /// resolves once the stream is cut from this side. Where another process of the same identity
    /// was heard within `patience`, the error is its address.
    pub(crate) fn attach(
        &self,
        node: NodeId,
        from: Attached,
        outgoing: mpsc::Sender<CoordinatorMessage>,
        patience: Duration,
    ) -> Result<(u64, oneshot::Receiver<()>), SocketAddr> {
        let (_cut, is_cut) = oneshot::channel();
        let mut workers = self.lock();
        let is_other = |held: &&ControlStream| {
            !from.instance.is_empty()
                && !held.from.instance.is_empty()
                && held.from.instance != from.instance
                && held.heard.elapsed() < patience
        };
        if let Some(first) = workers.streams.get(&node).filter(is_other) {
            return Err(first.from.remote);
        }
        workers.last_generation += 1;
        let generation = workers.last_generation;
        let heard = Instant::now();
        let asked = BTreeMap::new();
        let stream = ControlStream { generation, from, heard, outgoing, asked, _cut };
        workers.streams.insert(node, stream);
        Ok((generation, is_cut))
    }

    /// The stream's worker said something.
    pub(crate) fn heard(&self, node: NodeId, generation: u64) {
        let mut workers = self.lock();
        let stream = workers.streams.get_mut(&node).filter(|s| s.generation == generation);
        if let Some(stream) = stream {
            stream.heard = Instant::now();
        }
    }

    /// Tells a node that it was removed, and ends all that it has open here.
    pub(crate) fn cut(&self, node: NodeId) {
        let mut workers = self.lock();
        if let Some(stream) = workers.streams.remove(&node) {
            let _ = stream.outgoing.try_send(CoordinatorMessage::Removed);
        }
        if let Some(connection) = workers.connections.remove(&node) {
            connection.close(1u32.into(), b"removed from the cluster");
        }
    }

    /// To every worker that says which process it is: earlier versions do not know the message.
    pub(crate) fn send_trust(&self, trust: &Trust) {
        let mut workers = self.lock();
        workers.streams.retain(|_, stream| {
            let message = CoordinatorMessage::Trust(trust.clone());
            stream.from.instance.is_empty() || stream.outgoing.try_send(message).is_ok()
        });
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

    /// Takes the connection into use, unless an older one is alive: one that is not falls silent
    /// within a second, and its node dials until then.
    pub(crate) fn connected(&self, node: NodeId, connection: &quinn::Connection) -> bool {
        let mut workers = self.lock();
        let older = workers.connections.get(&node);
        if older.is_some_and(|older| older.close_reason().is_none()) {
            connection.close(0u32.into(), b"an older connection of this node is alive");
            return false;
        }
        workers.connections.insert(node, connection.clone());
        true
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

    /// Of each data connection, its identity and how many datagrams it received.
    pub(crate) fn received(&self) -> BTreeMap<NodeId, (usize, u64)> {
        let workers = self.lock();
        let count = |c: &quinn::Connection| (c.stable_id(), c.stats().udp_rx.datagrams);
        workers.connections.iter().map(|(node, c)| (*node, count(c))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
