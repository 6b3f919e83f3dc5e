//! Names of the simulated nodes.

use protocol::ids::NodeId;

pub(super) fn coordinator_id(index: usize) -> NodeId {
    id(0xc0, index)
}

pub(super) fn worker_id(index: usize) -> NodeId {
    id(0xd0, index)
}

pub(super) fn coordinator_of(node: NodeId) -> Option<usize> {
    index(0xc0, node)
}

pub(super) fn worker_of(node: NodeId) -> Option<usize> {
    index(0xd0, node)
}

/// Kind and index first, so that the short form of an id names the node.
fn id(kind: u8, index: usize) -> NodeId {
    let mut bytes = [kind; 32];
    bytes[1..3].copy_from_slice(&(index as u16).to_be_bytes());
    NodeId(bytes)
}

fn index(kind: u8, node: NodeId) -> Option<usize> {
    (node.0[0] == kind).then(|| u16::from_be_bytes([node.0[1], node.0[2]]).into())
}
