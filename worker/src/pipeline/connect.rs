//! Brings the ring up: every rank opens its outgoing edges once its group is complete and its
//! incoming edge is open.
//!
//! A rank answers an edge or a link only when its stage is loaded, and the first rank of a stage is
//! answered after the others, so the edge back to the head, opened last, says that every rank has
//! acknowledged the epoch.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use protocol::ids::{NodeId, RankIndex};
use protocol::plan::Edge;
use protocol::stream::StreamHello;
use protocol::transport::{FrameReader, FrameWriter};
use tokio::sync::oneshot;

use super::edge_writer::OutgoingEdge;
use super::group::{self, GroupLinks};
use super::registry::Slots as ExpectedSlots;
use super::{IncomingEdge, PipelineContext, PipelineSpec};
use crate::data_plane::{Opened, open};
use crate::error::WorkerError;
use crate::shard::{ShardEvent, local_ranks, neighbours, node_of};

/// Between two attempts to open an edge at a rank that is not there yet.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Between two signs of life of a neighbour.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// The open edges of this worker's ranks to other nodes.
#[derive(Default)]
pub(super) struct OpenEdges {
    pub(super) incoming: BTreeMap<Edge, IncomingEdge>,
    pub(super) outgoing: BTreeMap<Edge, OutgoingEdge>,
    pub(super) group: GroupLinks,
}

type Slots = BTreeMap<Edge, oneshot::Receiver<IncomingEdge>>;

/// Waits for all edges; has no deadline of its own, the shard lifecycle has.
pub(super) async fn connect(
    context: &PipelineContext,
    spec: &PipelineSpec,
) -> Result<OpenEdges, WorkerError> {
    let mut slots = Slots::new();
    let mut expected = BTreeMap::new();
    for edge in spec.plan.edges() {
        if ends_here(context, spec, edge) && !starts_here(context, spec, edge) {
            let (slot, taken) = oneshot::channel();
            expected.insert(edge, slot);
            slots.insert(edge, taken);
        }
    }
    let (links, link_slots) = group::expected(context, spec);
    let expected = ExpectedSlots { edges: expected, links: link_slots };
    context.registry.expect(spec.key, Arc::clone(&spec.plan), expected);
    let peers = neighbours(&spec.plan, context.own);
    tokio::select! {
        edges = open_all(context, spec, slots, links) => edges,
        never = watch_peers(context, spec, peers) => match never {},
    }
}

async fn open_all(
    context: &PipelineContext,
    spec: &PipelineSpec,
    mut slots: Slots,
    links: group::ExpectedLinks,
) -> Result<OpenEdges, WorkerError> {
    let group = group::connect(context, spec, links).await?;
    let mut edges = OpenEdges { group, ..OpenEdges::default() };
    let ranks = local_ranks(&spec.plan, context.own);
    for rank in &ranks {
        if rank.index != RankIndex(0) {
            await_incoming(spec, rank.index, &mut slots, &mut edges).await?;
        }
        let outgoing = spec.plan.edges().into_iter().filter(|edge| edge.from == rank.index);
        for edge in outgoing {
            if ends_here(context, spec, edge) {
                continue;
            }
            let hello = StreamHello::Edge { from: edge.from, to: edge.to };
            let (writer, watch) = open_until_there(context, spec, &hello, edge.to).await?;
            edges.outgoing.insert(edge, OutgoingEdge { writer, watch });
        }
    }
    // What is left is the edge back to the head, if the head is here.
    await_incoming(spec, RankIndex(0), &mut slots, &mut edges).await?;
    Ok(edges)
}

async fn await_incoming(
    spec: &PipelineSpec,
    to: RankIndex,
    slots: &mut Slots,
    edges: &mut OpenEdges,
) -> Result<(), WorkerError> {
    let incoming: Vec<_> = slots.keys().filter(|edge| edge.to == to).copied().collect();
    for edge in incoming {
        let Some(slot) = slots.remove(&edge) else { continue };
        let opened = slot.await.map_err(|_| WorkerError::StreamLost {
            node: node_of(&spec.plan, edge.from).map_or_else(String::new, |n| n.short()),
            reason: "the epoch ended before its edge was open".to_owned(),
        })?;
        edges.incoming.insert(edge, opened);
    }
    Ok(())
}

/// Opens a stream at the node of rank `to`, once that rank is loaded.
pub(super) async fn open_until_there(
    context: &PipelineContext,
    spec: &PipelineSpec,
    hello: &StreamHello,
    to: RankIndex,
) -> Result<(FrameWriter, FrameReader), WorkerError> {
    let deadline = context.timeouts.dial;
    let unknown = || WorkerError::StreamLost {
        node: String::new(),
        reason: format!("the plan has no rank {to}"),
    };
    let node = node_of(&spec.plan, to).ok_or_else(unknown)?;
    loop {
        let opened = match context.peers.meet(node).await {
            Ok(connection) => open(&connection, hello, spec.key, &node.short(), deadline).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(Opened::Ok(writer, watch)) => return Ok((writer, watch)),
            // A stale epoch is replaced as soon as the newer one arrives here too.
            Ok(Opened::NotYet | Opened::StaleEpoch) => {}
            Err(WorkerError::Refused { node, reason }) => {
                return Err(WorkerError::Refused { node, reason });
            }
            Err(error) => tracing::debug!(key = %spec.key, %error, "not open yet"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Keeps a connection to every neighbour and tells the lifecycle which of them are there.
async fn watch_peers(
    context: &PipelineContext,
    spec: &PipelineSpec,
    peers: Vec<NodeId>,
) -> Infallible {
    let watches = peers.into_iter().map(|peer| async move {
        loop {
            if context.peers.meet(peer).await.is_ok() {
                context.report(ShardEvent::PeerHeard { key: spec.key, peer }).await;
            }
            tokio::time::sleep(WATCH_PAUSE).await;
        }
    });
    let _: Vec<Infallible> = futures::future::join_all(watches).await;
    std::future::pending().await
}

fn starts_here(context: &PipelineContext, spec: &PipelineSpec, edge: Edge) -> bool {
    node_of(&spec.plan, edge.from) == Some(context.own)
}

fn ends_here(context: &PipelineContext, spec: &PipelineSpec, edge: Edge) -> bool {
    node_of(&spec.plan, edge.to) == Some(context.own)
}
