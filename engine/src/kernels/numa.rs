//! Machines whose memory lies in several nodes: a stage's threads and pages stay on one of them.
//!
//! Each node that a stage is put on has one pool of threads, bound to the node's cores, which its
//! stages share as they share the process's own: no two stages have threads bound to the same core
//! at the same time. Pages come to the node by first touch: those threads pack the weights and
//! compute what is written to state and buffers. On a machine of one node, or where a cpuset or an
//! affinity mask leaves the process only one, nothing is bound.

mod affinity;
mod topology;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use affinity::bind;
use topology::{Allowed, Topology};

/// A node that threads are bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) id: u32,
    /// Those of its cores that the process may use.
    pub(super) cpus: Vec<usize>,
}

/// One thing per node, made when it is first asked for.
pub(super) struct PerNode<T>(Mutex<BTreeMap<u32, Arc<T>>>);

impl<T> PerNode<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    pub(super) fn get(&self, node: Node, make: impl FnOnce(Node) -> T) -> Arc<T> {
        // Every statement under the lock leaves the map whole.
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(made.entry(node.id).or_insert_with(|| Arc::new(make(node))))
    }
}

/// The node for a stage of so many bytes; `None` where there is no choice, or none has the room.
pub(super) fn node_for(bytes: u64) -> Option<Node> {
    let topology = Topology::read(Path::new("/sys/devices/system/node"), &Allowed::of_process()?)?;
    let node = topology.choose(bytes);
    match node {
        Some(Node { id, .. }) => tracing::info!(node = id, bytes, "a stage stays on one node"),
        None if topology.has_choice() => {
            tracing::info!(
                bytes,
                "no node has room for the whole stage: its threads are not bound"
            );
        }
        None => {}
    }
    node.cloned()
}
