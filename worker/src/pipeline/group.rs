//! The ways between the ranks of a tensor-parallel group, opened before the ring: one per pair.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use engine::collective::{Fate, Link, Mesh, local_links};
use futures::future::{try_join, try_join_all};
use protocol::frame::{Frame, FrameKind};
use protocol::ids::RankIndex;
use protocol::plan::{CollectiveKind, Edge};
use protocol::stream::{LinkWire, StreamHello};
use protocol::transport::{DirectStream, FrameReader, FrameWriter};
use tokio::sync::mpsc;

use super::connect::open_until_there;
use super::registry::LinkSlot;
use super::{PipelineContext, PipelineSpec};
use crate::collective::{DirectLink, QuicLink, interfaces_of};
use crate::data_plane::{next, stream_lost};
use crate::error::WorkerError;
use crate::shard::{LocalRank, node_of};

/// What the lower rank of a pair opens: always the stream, perhaps a socket after it.
pub(crate) enum IncomingLink {
    Stream(FrameReader, FrameWriter),
    Direct(Box<DirectStream>),
}

/// Both can wait for the pipeline to take them.
const LINK_PARTS: usize = 2;
/// Dials of a direct socket before a pair makes do with QUIC.
const DIRECT_DIALS: u32 = 2;

/// The open links of this worker's ranks.
#[derive(Default)]
pub(super) struct GroupLinks {
    /// By own rank: the other ranks.
    links: BTreeMap<RankIndex, Vec<Way>>,
    /// This machine's ends of direct sockets.
    addresses: BTreeSet<IpAddr>,
    watches: Vec<LinkWatch>,
}

/// The other ranks of a stage, as one of them sees them.
pub(super) struct Group {
    pub(super) mesh: Mesh,
    pub(super) fate: Fate,
    /// Where the plan names NCCL: the interfaces that lead to the others.
    pub(super) nccl_interfaces: Option<Vec<String>>,
}

/// Another rank, and the link to it.
type Way = (RankIndex, Box<dyn Link>);

/// A stream beside a socket: its end tells that the peer is gone.
struct LinkWatch {
    own: RankIndex,
    peer: RankIndex,
    reader: FrameReader,
    writer: FrameWriter,
}

struct OpenedLink {
    own: RankIndex,
    peer: RankIndex,
    link: Box<dyn Link>,
    address: Option<IpAddr>,
    watch: Option<(FrameReader, FrameWriter)>,
}

/// Links that others will open here.
pub(super) type ExpectedLinks = BTreeMap<Edge, mpsc::Receiver<IncomingLink>>;

pub(super) fn expected(
    context: &PipelineContext,
    spec: &PipelineSpec,
) -> (ExpectedLinks, BTreeMap<Edge, LinkSlot>) {
    let own = Some(context.own);
    let comes_in =
        |l: &Edge| node_of(&spec.plan, l.to) == own && node_of(&spec.plan, l.from) != own;
    let links = spec.plan.group_links().into_iter().filter(comes_in);
    links
        .map(|link| {
            let (slot, taken) = mpsc::channel(LINK_PARTS);
            ((link, taken), (link, slot))
        })
        .unzip()
}

/// Opens and awaits every link of this worker's ranks; has no deadline of its own.
pub(super) async fn connect(
    context: &PipelineContext,
    spec: &PipelineSpec,
    expected: ExpectedLinks,
) -> Result<GroupLinks, WorkerError> {
    let mut found = GroupLinks::default();
    let mut dials = Vec::new();
    for pair in spec.plan.group_links() {
        let here = |rank| node_of(&spec.plan, rank) == Some(context.own);
        match (here(pair.from), here(pair.to)) {
            (true, true) => {
                let (low, high) = local_links();
                found.add(pair.from, pair.to, Box::new(low));
                found.add(pair.to, pair.from, Box::new(high));
            }
            (true, false) => dials.push(dial(context, spec, pair)),
            (false, _) => {}
        }
    }
    let accepts = expected.into_iter().map(|(pair, slot)| accept(spec, pair, slot));
    let (dialled, accepted) = try_join(try_join_all(dials), try_join_all(accepts)).await?;
    for OpenedLink { own, peer, link, address, watch } in dialled.into_iter().chain(accepted) {
        found.add(own, peer, link);
        found.addresses.extend(address);
        if let Some((reader, writer)) = watch {
            found.watches.push(LinkWatch { own, peer, reader, writer });
        }
    }
    Ok(found)
}

impl GroupLinks {
    fn add(&mut self, own: RankIndex, peer: RankIndex, link: Box<dyn Link>) {
        self.links.entry(own).or_default().push((peer, link));
    }

    /// The group of `rank` as it sees it, unless it is alone in its stage.
    pub(super) fn group(
        &mut self,
        context: &PipelineContext,
        spec: &PipelineSpec,
        rank: &LocalRank,
    ) -> Option<Group> {
        let links = self.links.remove(&rank.index)?;
        let first = spec.plan.leader_of(rank.stage).0;
        let place = |index: RankIndex| (index.0 - first) as usize;
        let links = links.into_iter().map(|(peer, link)| (place(peer), link)).collect();
        let fate = Fate::default();
        // Somebody who is alive may compute for long; who is not is noticed by its streams.
        let mesh = Mesh::new(place(rank.index), links, fate.clone(), context.timeouts.step);
        let nccl = spec.plan.stages()[rank.stage.0 as usize].collective == CollectiveKind::Nccl;
        let nccl_interfaces = nccl.then(|| interfaces_of(&self.addresses));
        Some(Group { mesh, fate, nccl_interfaces })
    }

    /// For each peer with a socket: resolves when it is gone, after having told the rank's group.
    pub(super) fn watches(
        &mut self,
        spec: &PipelineSpec,
        fates: &BTreeMap<RankIndex, Fate>,
    ) -> Vec<impl Future<Output = Option<String>> + Send + 'static> {
        let watches = std::mem::take(&mut self.watches);
        let watch = |watch: LinkWatch| {
            let LinkWatch { own, peer, mut reader, writer } = watch;
            let fate = fates.get(&own).cloned().unwrap_or_default();
            let first = spec.plan.rank(peer).map_or(0, |(s, _)| spec.plan.leader_of(s).0);
            async move {
                let reason = match reader.recv().await {
                    Ok(None) => "closed by the peer".to_owned(),
                    Ok(Some(frame)) => format!("unexpected {} frame", frame.kind.name()),
                    Err(error) => error.to_string(),
                };
                // Held until now: its end tells the peer that this rank is gone.
                drop(writer);
                fate.end((peer.0 - first) as usize, reason.clone());
                Some(format!("rank {peer} of the group is lost: {reason}"))
            }
        };
        watches.into_iter().map(watch).collect()
    }
}

/// The lower rank's part: a stream in any case, a socket if the plan wants one and it can be had.
async fn dial(
    context: &PipelineContext,
    spec: &PipelineSpec,
    pair: Edge,
) -> Result<OpenedLink, WorkerError> {
    let hello = StreamHello::Group { from: pair.from, to: pair.to };
    let (mut writer, reader) = open_until_there(context, spec, &hello, pair.to).await?;
    let socket = match wanted(spec, pair) {
        CollectiveKind::Direct | CollectiveKind::Nccl => {
            dial_direct(context, spec, &hello, pair).await
        }
        CollectiveKind::Quic => None,
    };
    let wire = if socket.is_some() { LinkWire::Direct } else { LinkWire::Stream };
    let frame = Frame::new(FrameKind::LinkWire, spec.key.replica, spec.key.epoch, &wire)?;
    writer.send(&frame).await.map_err(|error| stream_lost("of the group", &error))?;
    opened(pair.from, pair.to, socket, (reader, writer))
}

async fn accept(
    spec: &PipelineSpec,
    pair: Edge,
    mut slot: mpsc::Receiver<IncomingLink>,
) -> Result<OpenedLink, WorkerError> {
    let (mut stream, mut socket) = (None, None);
    loop {
        let over = || WorkerError::StreamLost {
            node: node_of(&spec.plan, pair.from).map_or_else(String::new, |n| n.short()),
            reason: "the epoch ended before its group was complete".to_owned(),
        };
        match slot.recv().await.ok_or_else(over)? {
            IncomingLink::Direct(direct) => socket = Some(*direct),
            IncomingLink::Stream(mut reader, writer) => {
                let frame = next(&mut reader, "of the group").await?;
                let wire: LinkWire = frame.open(FrameKind::LinkWire)?;
                stream = Some((wire, (reader, writer)));
            }
        }
        match stream.take() {
            Some((LinkWire::Direct, streams)) if socket.is_none() => {
                stream = Some((LinkWire::Direct, streams));
            }
            Some((wire, streams)) => {
                let socket = socket.take().filter(|_| wire == LinkWire::Direct);
                return opened(pair.to, pair.from, socket, streams);
            }
            None => {}
        }
    }
}

fn opened(
    own: RankIndex,
    peer: RankIndex,
    socket: Option<DirectStream>,
    streams: (FrameReader, FrameWriter),
) -> Result<OpenedLink, WorkerError> {
    let lost = |error| stream_lost("of the group", &error);
    let address = socket.as_ref().and_then(|socket| socket.local_address().ok()).map(|a| a.ip());
    let (link, watch): (Box<dyn Link>, _) = match socket {
        Some(socket) => (Box::new(DirectLink(socket.into_socket().map_err(lost)?)), Some(streams)),
        None => {
            let (reader, writer) = streams;
            (Box::new(QuicLink::new(writer.into_stream(), reader.into_stream())), None)
        }
    };
    Ok(OpenedLink { own, peer, link, address, watch })
}

async fn dial_direct(
    context: &PipelineContext,
    spec: &PipelineSpec,
    hello: &StreamHello,
    pair: Edge,
) -> Option<DirectStream> {
    let node = node_of(&spec.plan, pair.to)?;
    for _ in 0..DIRECT_DIALS {
        match context.peers.dial_direct(node, hello, spec.key, context.timeouts.dial).await {
            Ok(stream) => return Some(stream),
            Err(error) => tracing::debug!(key = %spec.key, %error, "no direct socket"),
        }
    }
    let (from, to) = (pair.from, pair.to);
    tracing::warn!(key = %spec.key, %from, %to, "no direct socket: the pair uses QUIC");
    None
}

fn wanted(spec: &PipelineSpec, pair: Edge) -> CollectiveKind {
    let stage = spec.plan.rank(pair.from).map(|(stage, _)| stage.0 as usize);
    stage.map_or(CollectiveKind::Quic, |stage| spec.plan.stages()[stage].collective)
}
