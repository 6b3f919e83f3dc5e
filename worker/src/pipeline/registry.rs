//! Which epochs this worker serves: where incoming edges and `Generate` streams are matched.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::ids::{Epoch, NodeId, ReplicaId};
use protocol::plan::{Edge, Plan};
use protocol::stream::StreamAnswer;
use tokio::sync::{mpsc, oneshot};

use super::edge_reader::IncomingEdge;
use super::group::IncomingLink;
use super::head::HeadHandle;
use crate::shard::{ShardKey, node_of};

/// Takes the stream of one incoming edge.
pub(crate) type EdgeSlot = oneshot::Sender<IncomingEdge>;
/// Takes the stream of a link inside a group, and the socket that may come with it.
pub(crate) type LinkSlot = mpsc::Sender<IncomingLink>;

/// What other ranks may open at this worker.
#[derive(Default)]
pub(crate) struct Slots {
    pub(crate) edges: BTreeMap<Edge, EdgeSlot>,
    pub(crate) links: BTreeMap<Edge, LinkSlot>,
}

#[derive(Default)]
pub(crate) struct Registry {
    replicas: Mutex<BTreeMap<ReplicaId, Entry>>,
}

struct Entry {
    epoch: Epoch,
    pipeline: Option<Waiting>,
    head: Option<HeadHandle>,
}

struct Waiting {
    plan: Arc<Plan>,
    slots: Slots,
}

impl Registry {
    /// From now on older epochs of the replica are stale.
    pub(crate) fn announce(&self, key: ShardKey) {
        let mut replicas = self.replicas();
        let known = replicas.get(&key.replica).map(|entry| entry.epoch);
        if known.is_none_or(|epoch| epoch < key.epoch) {
            let entry = Entry { epoch: key.epoch, pipeline: None, head: None };
            replicas.insert(key.replica, entry);
        }
    }

    /// The stages of the epoch are loaded: these edges and links may come in.
    pub(crate) fn expect(&self, key: ShardKey, plan: Arc<Plan>, slots: Slots) {
        if let Some(entry) = current(&mut self.replicas(), key) {
            entry.pipeline = Some(Waiting { plan, slots });
        }
    }

    /// The whole ring is up: sequences may come in.
    pub(crate) fn open_head(&self, key: ShardKey, head: HeadHandle) {
        if let Some(entry) = current(&mut self.replicas(), key) {
            entry.head = Some(head);
        }
    }

    /// The pipeline of the epoch ended; the epoch itself stays known.
    pub(crate) fn close(&self, key: ShardKey) {
        if let Some(entry) = current(&mut self.replicas(), key) {
            (entry.pipeline, entry.head) = (None, None);
        }
    }

    pub(crate) fn forget(&self, replica: ReplicaId) {
        self.replicas().remove(&replica);
    }

    /// The slot of an edge that `peer` wants to open, or the answer it gets instead.
    pub(crate) fn claim(
        &self,
        key: ShardKey,
        edge: Edge,
        peer: NodeId,
    ) -> Result<EdgeSlot, StreamAnswer> {
        let mut replicas = self.replicas();
        let entry = fence(&mut replicas, key)?;
        let Some(waiting) = &mut entry.pipeline else { return Err(StreamAnswer::NotYet) };
        let owner = node_of(&waiting.plan, edge.from);
        if !waiting.plan.edges().contains(&edge) || owner != Some(peer) {
            let (from, to) = (edge.from, edge.to);
            let reason = format!("node {} has no edge {from} -> {to} in {key}", peer.short());
            return Err(StreamAnswer::Forbidden { reason });
        }
        waiting.slots.edges.remove(&edge).ok_or_else(|| StreamAnswer::Forbidden {
            reason: format!("edge {} -> {} of {key} is open already", edge.from, edge.to),
        })
    }

    /// The slot of a link that `peer`, the node of its lower rank, wants to open.
    pub(crate) fn claim_link(
        &self,
        key: ShardKey,
        link: Edge,
        peer: NodeId,
    ) -> Result<LinkSlot, StreamAnswer> {
        let mut replicas = self.replicas();
        let entry = fence(&mut replicas, key)?;
        let Some(waiting) = &entry.pipeline else { return Err(StreamAnswer::NotYet) };
        let owner = node_of(&waiting.plan, link.from);
        let slot = waiting.slots.links.get(&link).filter(|_| owner == Some(peer));
        slot.cloned().ok_or_else(|| {
            let (from, to) = (link.from, link.to);
            let reason = format!("node {} has no link {from} -> {to} in {key}", peer.short());
            StreamAnswer::Forbidden { reason }
        })
    }

    /// The head of the epoch, or the answer that a gateway gets instead.
    pub(crate) fn head(&self, key: ShardKey) -> Result<HeadHandle, StreamAnswer> {
        let mut replicas = self.replicas();
        let entry = fence(&mut replicas, key)?;
        entry.head.clone().ok_or(StreamAnswer::NotYet)
    }

    /// Every statement under the lock leaves the map whole.
    fn replicas(&self) -> MutexGuard<'_, BTreeMap<ReplicaId, Entry>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn current(replicas: &mut BTreeMap<ReplicaId, Entry>, key: ShardKey) -> Option<&mut Entry> {
    replicas.get_mut(&key.replica).filter(|entry| entry.epoch == key.epoch)
}

/// Older than ours is stale; newer, or a replica we never heard of, is not ours to judge yet.
fn fence(
    replicas: &mut BTreeMap<ReplicaId, Entry>,
    key: ShardKey,
) -> Result<&mut Entry, StreamAnswer> {
    match replicas.get_mut(&key.replica) {
        Some(entry) if key.epoch < entry.epoch => Err(StreamAnswer::StaleEpoch),
        Some(entry) if key.epoch == entry.epoch => Ok(entry),
        _ => Err(StreamAnswer::NotYet),
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::{Digest, RankIndex};
    use protocol::model_spec::{KvType, LayerRange};
    use protocol::plan::{
        ActivationType, CollectiveKind, KvPlan, PlanParts, RankPlan, Share, StagePlan,
    };

    use super::*;

    const EDGE: Edge = Edge { from: RankIndex(0), to: RankIndex(1) };

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    fn key(epoch: u64) -> ShardKey {
        ShardKey { replica: ReplicaId(5), epoch: Epoch(epoch) }
    }

    fn plan() -> Arc<Plan> {
        let stage = |n, start| StagePlan {
            layers: LayerRange::new(start, start + 1),
            ranks: vec![RankPlan { node: node(n), device: 0, share: Share::WHOLE }],
            collective: CollectiveKind::Direct,
        };
        let kv = KvPlan {
            kv_type: KvType::F16,
            block_size: 16,
            blocks: 8,
            context_length: 128,
            sequences_max: 4,
            step_tokens_max: 64,
        };
        let parts = PlanParts {
            manifest: Digest::of(b"m"),
            layer_count: 2,
            stages: vec![stage(1, 0), stage(2, 1)],
            kv,
            activation: ActivationType::F32,
        };
        Arc::new(Plan::new(parts).expect("valid"))
    }

    /// A registry that waits for edge 0 -> 1 of epoch 3.
    fn waiting() -> (Registry, oneshot::Receiver<IncomingEdge>) {
        let registry = Registry::default();
        let (slot, taken) = oneshot::channel();
        registry.announce(key(3));
        let slots = Slots { edges: BTreeMap::from([(EDGE, slot)]), ..Slots::default() };
        registry.expect(key(3), plan(), slots);
        (registry, taken)
    }

    #[test]
    fn an_edge_is_taken_from_the_rank_of_its_epoch_alone() {
        let (registry, _taken) = waiting();
        assert_eq!(registry.claim(key(2), EDGE, node(1)).err(), Some(StreamAnswer::StaleEpoch));
        assert_eq!(registry.claim(key(4), EDGE, node(1)).err(), Some(StreamAnswer::NotYet));
        let foreign = registry.claim(key(3), EDGE, node(9)).err();
        assert!(matches!(foreign, Some(StreamAnswer::Forbidden { .. })));
        let backwards = Edge { from: RankIndex(1), to: RankIndex(1) };
        let unknown = registry.claim(key(3), backwards, node(2)).err();
        assert!(matches!(unknown, Some(StreamAnswer::Forbidden { .. })));
        assert!(registry.claim(key(3), EDGE, node(1)).is_ok());
        let twice = registry.claim(key(3), EDGE, node(1)).err();
        assert!(matches!(twice, Some(StreamAnswer::Forbidden { .. })));
    }

    #[test]
    fn a_head_is_offered_only_while_its_ring_is_up() {
        let (registry, _taken) = waiting();
        assert_eq!(registry.head(key(3)).err(), Some(StreamAnswer::NotYet));
        registry.announce(key(4));
        assert_eq!(registry.head(key(3)).err(), Some(StreamAnswer::StaleEpoch));
        assert_eq!(registry.head(key(4)).err(), Some(StreamAnswer::NotYet));
        registry.announce(key(3));
        assert_eq!(registry.head(key(3)).err(), Some(StreamAnswer::StaleEpoch), "no way back");
    }
}
