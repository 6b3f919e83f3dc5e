//! Edges of a simulated pipeline: dialled, answered, closed into a ring, broken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::ids::{NodeId, ReplicaId};
use protocol::plan::Edge;
use protocol::shard::{DesiredShard, ShardFailure};
use worker::scheduler::{Event, Scheduler, StreamKey};
use worker::shard::{LocalRank, ShardEvent, ShardKey, local_ranks, neighbours, node_of};

use super::cluster::{Answer, Cluster, Message, worker_of};
use super::fake_stage::FakeStage;
use super::network::{PipeId, Place};
use super::sabotage::Sabotage;
use super::sim_worker::WorkerTimer;

/// One epoch of a replica on one worker.
pub(super) struct Running {
    pub(super) key: ShardKey,
    pub(super) shard: Arc<DesiredShard>,
    pub(super) rank: LocalRank,
    pub(super) stage: FakeStage,
    pub(super) outgoing: BTreeMap<Edge, Outgoing>,
    incoming: BTreeMap<Edge, Option<PipeId>>,
    pub(super) connected: bool,
    pub(super) busy_until: Duration,
    pub(super) head: Option<Head>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Outgoing {
    pub(super) pipe: Option<PipeId>,
    accepted: bool,
}

pub(super) struct Head {
    pub(super) scheduler: Scheduler,
    pub(super) streams: BTreeMap<StreamKey, PipeId>,
    pub(super) armed: Option<Duration>,
}

impl Running {
    /// None for a plan without a rank on `node`.
    pub(super) fn new(shard: Arc<DesiredShard>, node: NodeId) -> Option<Self> {
        let rank = *local_ranks(&shard.plan, node).first()?;
        let edges = shard.plan.edges();
        let kv = shard.plan.kv();
        Some(Self {
            key: ShardKey::of(&shard),
            rank,
            stage: FakeStage::new(kv.blocks, kv.block_size),
            outgoing: edges
                .iter()
                .filter(|edge| edge.from == rank.index)
                .map(|edge| (*edge, Outgoing::default()))
                .collect(),
            incoming: edges
                .iter()
                .filter(|edge| edge.to == rank.index)
                .map(|edge| (*edge, None))
                .collect(),
            shard,
            connected: false,
            busy_until: Duration::ZERO,
            head: None,
        })
    }

    pub(super) fn peers(&self) -> Vec<NodeId> {
        neighbours(&self.shard.plan, self.rank.plan.node)
    }

    fn pipes(&self) -> Vec<PipeId> {
        let outgoing = self.outgoing.values().filter_map(|edge| edge.pipe);
        outgoing.chain(self.incoming.values().copied().flatten()).collect()
    }

    fn is_complete(&self) -> bool {
        self.outgoing.values().all(|edge| edge.accepted)
            && self.incoming.values().all(Option::is_some)
    }
}

impl Cluster {
    pub(super) fn running(&mut self, index: usize, key: ShardKey) -> Option<&mut Running> {
        self.workers[index].running.get_mut(&key.replica).filter(|running| running.key == key)
    }

    pub(super) fn runs(&mut self, index: usize, key: ShardKey) -> bool {
        self.running(index, key).is_some()
    }

    /// What the lifecycle says this worker shall hold of a replica.
    pub(super) fn held(&self, index: usize, replica: ReplicaId) -> Option<ShardKey> {
        self.workers[index].shards.shard(replica).map(|shard| ShardKey::of(shard))
    }

    /// Dials the edges that are not open, and again until the ring is closed.
    pub(super) fn connect(&mut self, index: usize, key: ShardKey) {
        let Some(running) = self.running(index, key).filter(|running| !running.connected) else {
            return;
        };
        let plan = running.shard.plan.clone();
        let closed: Vec<Edge> = running
            .outgoing
            .iter()
            .filter(|(_, edge)| edge.pipe.is_none())
            .map(|(edge, _)| *edge)
            .collect();
        for edge in closed {
            let Some(peer) = node_of(&plan, edge.to).map(worker_of) else { continue };
            let pipe = self.open(Place::Worker(index), Place::Worker(peer));
            if let Some(pipe) = pipe {
                if let Some(running) = self.running(index, key) {
                    running.outgoing.insert(edge, Outgoing { pipe: Some(pipe), accepted: false });
                }
                self.send(pipe, Place::Worker(index), Message::Hello { key, edge });
            }
        }
        self.complete(index, key);
        if self.running(index, key).is_some_and(|running| !running.connected) {
            self.worker_after(index, Duration::from_millis(50), WorkerTimer::Connect(key));
        }
    }

    pub(super) fn hello(&mut self, index: usize, pipe: PipeId, key: ShardKey, edge: Edge) {
        let held = self.held(index, key.replica);
        let mut answer = match held {
            Some(held) if held.epoch > key.epoch => Answer::Stale,
            _ => Answer::NotYet,
        };
        let mut older = None;
        let mut peer = None;
        if let Some(running) = self.running(index, key) {
            peer = node_of(&running.shard.plan, edge.from);
            if let Some(slot) = running.incoming.get_mut(&edge) {
                older = slot.replace(pipe);
                answer = Answer::Ok;
            }
        }
        if let Some(older) = older {
            // The same edge twice: the answer to the first hello was lost.
            self.close(older, Place::Worker(index));
        }
        self.send(pipe, Place::Worker(index), Message::Answer { key, edge, answer });
        if let Some(peer) = peer {
            self.shard_event(index, ShardEvent::PeerHeard { key, peer });
        }
        if answer == Answer::Ok {
            self.complete(index, key);
        }
    }

    pub(super) fn answered(
        &mut self,
        index: usize,
        pipe: PipeId,
        key: ShardKey,
        edge: Edge,
        answer: Answer,
    ) {
        let Some(running) = self.running(index, key) else { return };
        let peer = node_of(&running.shard.plan, edge.to);
        let accepted = answer == Answer::Ok;
        if let Some(slot) = running.outgoing.get_mut(&edge).filter(|slot| slot.pipe == Some(pipe)) {
            *slot = Outgoing { pipe: accepted.then_some(pipe), accepted };
        }
        if !accepted {
            self.close(pipe, Place::Worker(index));
        }
        if let Some(peer) = peer {
            self.shard_event(index, ShardEvent::PeerHeard { key, peer });
        }
        self.complete(index, key);
    }

    fn complete(&mut self, index: usize, key: ShardKey) {
        let Some(running) = self.running(index, key) else { return };
        if running.connected || !running.is_complete() {
            return;
        }
        running.connected = true;
        if running.rank.index.0 == 0 {
            let scheduler = Scheduler::new(running.scheduler_config());
            running.head = Some(Head { scheduler, streams: BTreeMap::new(), armed: None });
        }
        self.shard_event(index, ShardEvent::Connected { key });
    }

    pub(super) fn pipeline_broken(&mut self, index: usize, pipe: PipeId) {
        let worker = &mut self.workers[index];
        let mut cancelled = None;
        let mut broken = None;
        for running in worker.running.values_mut() {
            let key = running.key;
            let streams = running.head.as_mut().map(|head| &mut head.streams);
            let stream = streams.and_then(|s| s.iter().find(|(_, p)| **p == pipe).map(|(k, _)| *k));
            cancelled = cancelled.or(stream.map(|stream| (key, stream)));
            if running.pipes().contains(&pipe) {
                let gone = |edge: &Outgoing| edge.pipe == Some(pipe);
                for edge in running.outgoing.values_mut().filter(|edge| gone(edge)) {
                    *edge = Outgoing::default();
                }
                for slot in running.incoming.values_mut().filter(|slot| **slot == Some(pipe)) {
                    *slot = None;
                }
                broken = running.connected.then_some(key);
            }
        }
        if let Some((key, stream)) = cancelled {
            self.feed_head(index, key, Event::Cancel { key: stream });
        }
        if let Some(key) = broken {
            self.fail(index, key, "an edge is broken");
        }
    }

    pub(super) fn fail(&mut self, index: usize, key: ShardKey, reason: &str) {
        let reason = reason.to_owned();
        self.feed_head(index, key, Event::PipelineLost { reason: reason.clone() });
        let kind = ShardFailure::PipelineLost;
        self.shard_event(index, ShardEvent::Failed { key, kind, reason });
    }

    pub(super) fn stop_running(&mut self, index: usize, replica: ReplicaId, reason: &str) {
        let Some(running) = self.workers[index].running.get(&replica) else { return };
        let (key, pipes) = (running.key, running.pipes());
        self.feed_head(index, key, Event::PipelineLost { reason: reason.to_owned() });
        if self.sabotage != Sabotage::StaleFrames {
            for pipe in pipes {
                self.close(pipe, Place::Worker(index));
            }
        }
        self.workers[index].running.remove(&replica);
    }
}
