//! The pool of QUIC connections: at most one in use per peer, dialled by either end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::ids::NodeId;
use protocol::transport::{NodeTls, QuicEndpoint};
use tokio::sync::{Notify, mpsc};

use crate::error::WorkerError;
use crate::weight_store::Peers;

/// How long the end with the higher id leaves dialling to the other.
const DIAL_PATIENCE: Duration = Duration::from_millis(700);

pub(crate) struct PeerPool {
    own: NodeId,
    endpoint: QuicEndpoint,
    state: Mutex<State>,
    adopted: Notify,
    /// Dialled connections, to be served like accepted ones.
    dialled: mpsc::Sender<quinn::Connection>,
}

#[derive(Default)]
struct State {
    addresses: BTreeMap<NodeId, Vec<String>>,
    live: BTreeMap<NodeId, quinn::Connection>,
    /// One dial per peer at a time.
    dials: BTreeMap<NodeId, Arc<tokio::sync::Mutex<()>>>,
}

impl PeerPool {
    pub(crate) fn new(
        own: NodeId,
        endpoint: QuicEndpoint,
        dialled: mpsc::Sender<quinn::Connection>,
    ) -> Self {
        let state = Mutex::new(State::default());
        Self { own, endpoint, state, adopted: Notify::new(), dialled }
    }

    /// Where peers listen, best address first; others stay as they were.
    pub(crate) fn learn(&self, addresses: impl IntoIterator<Item = (NodeId, Vec<String>)>) {
        self.state().addresses.extend(addresses);
    }

    /// This node's own credentials.
    pub(super) fn tls(&self) -> &NodeTls {
        self.endpoint.tls()
    }

    /// Where `node` listens, best address first.
    pub(super) fn addresses(&self, node: NodeId) -> Vec<String> {
        self.state().addresses.get(&node).cloned().unwrap_or_default()
    }

    /// An open connection to `node`, if there is one.
    pub(crate) fn live(&self, node: NodeId) -> Option<quinn::Connection> {
        let state = self.state();
        state.live.get(&node).filter(|c| c.close_reason().is_none()).cloned()
    }

    /// A connection to `node`, dialled now where none is open.
    pub(crate) async fn reach(&self, node: NodeId) -> Result<quinn::Connection, WorkerError> {
        self.dial(node, Duration::ZERO).await
    }

    /// Like `reach`, for two nodes that want each other: the lower id dials, the other waits for it
    /// a moment first, so that there is usually one connection and still one when only the higher
    /// id can dial.
    pub(crate) async fn meet(&self, node: NodeId) -> Result<quinn::Connection, WorkerError> {
        let patience = if self.own < node { Duration::ZERO } else { DIAL_PATIENCE };
        self.dial(node, patience).await
    }

    /// Takes a connection into use, whoever dialled it.
    pub(crate) fn adopt(&self, node: NodeId, connection: &quinn::Connection) {
        self.state().live.insert(node, connection.clone());
        self.adopted.notify_waiters();
    }

    /// Closes what is open to a node that was removed.
    pub(crate) fn cut(&self, node: NodeId) {
        if let Some(connection) = self.state().live.remove(&node) {
            connection.close(1u32.into(), b"removed from the cluster");
        }
    }

    pub(crate) fn forget(&self, node: NodeId, connection: &quinn::Connection) {
        let mut state = self.state();
        if state.live.get(&node).is_some_and(|c| c.stable_id() == connection.stable_id()) {
            state.live.remove(&node);
        }
    }

    /// Datagrams received so far from each connected peer: what grew is alive.
    pub(crate) fn received(&self) -> BTreeMap<NodeId, u64> {
        let state = self.state();
        state.live.iter().map(|(node, c)| (*node, c.stats().udp_rx.datagrams)).collect()
    }

    async fn dial(
        &self,
        node: NodeId,
        patience: Duration,
    ) -> Result<quinn::Connection, WorkerError> {
        if let Some(connection) = self.live(node) {
            return Ok(connection);
        }
        let turn = Arc::clone(self.state().dials.entry(node).or_default());
        let _one_at_a_time = turn.lock().await;
        if let Some(connection) = self.wait_for(node, patience).await {
            return Ok(connection);
        }
        let addresses = self.addresses(node);
        let dialled = self.endpoint.dial_any(&addresses, Some(node)).await;
        let connection = dialled.map_err(|error| WorkerError::Unreachable {
            node: node.short(),
            addresses: addresses.join(", "),
            reason: error.to_string(),
        })?;
        self.adopt(node, &connection);
        // Fails only when the worker is shutting down.
        let _ = self.dialled.send(connection.clone()).await;
        Ok(connection)
    }

    async fn wait_for(&self, node: NodeId, patience: Duration) -> Option<quinn::Connection> {
        let waited = async {
            loop {
                let adopted = self.adopted.notified();
                if let Some(connection) = self.live(node) {
                    return connection;
                }
                adopted.await;
            }
        };
        match tokio::time::timeout(patience, waited).await {
            Ok(connection) => Some(connection),
            Err(_) => self.live(node),
        }
    }

    /// Every statement under the lock leaves the maps whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Weights are fetched over the same connections.
impl Peers for PeerPool {
    async fn connect(&self, node: NodeId) -> Result<quinn::Connection, String> {
        self.reach(node).await.map_err(|error| error.to_string())
    }
}
