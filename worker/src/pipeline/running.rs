//! A pipeline from its first edge to its end: connects, wires queues and threads, takes them down.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::collective::Fate;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use protocol::ids::{RankIndex, StageIndex};
use protocol::plan::Edge;
use protocol::shard::{ReplicaLoad, ShardFailure};
use protocol::step_batch::StepResult;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::connect::{OpenEdges, connect};
use super::edge_reader::{self, Inlet};
use super::head::{HeadEnd, HeadTask};
use super::stage_thread::{self, Ended, LoadedStage};
use super::step::{Outlet, Outlets, StepInput};
use super::{PipelineContext, PipelineSpec, Stop, edge_writer, in_flight_max};
use crate::error::WorkerError;
use crate::shard::{LocalRank, ShardEvent};

/// A stage thread finishes the step it is in before it gives its stage back.
const STAGE_END_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs one epoch; returns the stages when it is over, however it ended.
pub(super) async fn run(
    context: PipelineContext,
    spec: PipelineSpec,
    stages: Vec<LoadedStage>,
    load: watch::Sender<Option<ReplicaLoad>>,
    mut stopped: oneshot::Receiver<Stop>,
) -> Vec<LoadedStage> {
    let connected = tokio::select! {
        edges = connect(&context, &spec) => edges.map(Some),
        _ = &mut stopped => Ok(None),
    };
    let edges = match connected {
        Ok(Some(edges)) => edges,
        not_connected => {
            context.registry.close(spec.key);
            if let Err(error) = not_connected {
                fail(&context, &spec, error.to_string()).await;
            }
            return stages;
        }
    };
    let mut running = match Running::wire(&context, &spec, stages, edges, load) {
        Ok(running) => running,
        Err(error) => {
            context.registry.close(spec.key);
            fail(&context, &spec, error.to_string()).await;
            // The stages went with the threads that could not be started.
            return Vec::new();
        }
    };
    context.report(ShardEvent::Connected { key: spec.key }).await;
    let lost = running.wait(&mut stopped).await;
    context.registry.close(spec.key);
    if let Some(reason) = &lost {
        tracing::warn!(key = %spec.key, %reason, "pipeline lost");
        metrics::counter!("trireme_pipelines_lost_total").increment(1);
    }
    let stages = running.take_down(lost.clone()).await;
    if let Some(reason) = lost {
        fail(&context, &spec, reason).await;
    }
    stages
}

async fn fail(context: &PipelineContext, spec: &PipelineSpec, reason: String) {
    let kind = ShardFailure::PipelineLost;
    context.report(ShardEvent::Failed { key: spec.key, kind, reason }).await;
}

struct Running {
    /// Readers and writers of edges to other nodes; each ends with why it could not go on.
    edges: JoinSet<Option<String>>,
    threads: FuturesUnordered<oneshot::Receiver<Ended>>,
    returned: Vec<LoadedStage>,
    head: Option<HeadTask>,
    /// Of the groups that this worker's ranks are in.
    fates: BTreeMap<RankIndex, Fate>,
}

/// The queues between the parts of this worker's share of the ring.
struct Queues {
    stages: BTreeMap<RankIndex, mpsc::Sender<StepInput>>,
    results: Option<mpsc::Sender<StepResult>>,
}

impl Running {
    fn wire(
        context: &PipelineContext,
        spec: &PipelineSpec,
        stages: Vec<LoadedStage>,
        edges: OpenEdges,
        load: watch::Sender<Option<ReplicaLoad>>,
    ) -> Result<Self, WorkerError> {
        let depth = in_flight_max(&spec.plan);
        let mut queues = Queues { stages: BTreeMap::new(), results: None };
        let mut inputs = Vec::new();
        for loaded in stages {
            let (sender, receiver) = mpsc::channel(depth);
            queues.stages.insert(loaded.rank.index, sender);
            inputs.push((loaded, receiver));
        }
        let mut running = Self {
            edges: JoinSet::new(),
            threads: FuturesUnordered::new(),
            returned: vec![],
            head: None,
            fates: BTreeMap::new(),
        };
        let OpenEdges { incoming, mut outgoing, mut group } = edges;
        if queues.stages.contains_key(&RankIndex(0)) {
            let (sender, results) = mpsc::channel(depth);
            queues.results = Some(sender);
            let ranks = spec.plan.ranks_of(StageIndex(0));
            let batches =
                ranks.map(|to| running.outlet(spec, RankIndex(0), to, &queues, &mut outgoing));
            let batches = Outlets(batches.collect::<Result<_, _>>()?);
            running.head = Some(HeadTask::start(context, spec, batches, results, load));
        }
        for (mut loaded, input) in inputs {
            let outlets = running.outlets(spec, &loaded.rank, &queues, &mut outgoing)?;
            if let Some(group) = group.group(context, spec, &loaded.rank) {
                running.fates.insert(loaded.rank.index, group.fate.clone());
                loaded.join(group);
            }
            running.threads.push(stage_thread::spawn(loaded, input, outlets)?);
        }
        for watch in group.watches(spec, &running.fates) {
            running.edges.spawn(watch);
        }
        for (edge, incoming) in incoming {
            let Some(inlet) = queues.inlet(edge) else { continue };
            let reader = edge_reader::run(incoming, spec.clone(), edge, inlet);
            running.edges.spawn(async move { Some(reader.await.to_string()) });
        }
        if let Some(head) = &running.head {
            context.registry.open_head(spec.key, head.handle.clone());
        }
        Ok(running)
    }

    /// Where the output of a rank goes. The ranks of a stage hold the same: the first sends it.
    fn outlets(
        &mut self,
        spec: &PipelineSpec,
        rank: &LocalRank,
        queues: &Queues,
        outgoing: &mut BTreeMap<Edge, edge_writer::OutgoingEdge>,
    ) -> Result<Outlets, WorkerError> {
        if spec.plan.leader_of(rank.stage) != rank.index {
            return Ok(Outlets(Vec::new()));
        }
        if rank.stage == spec.plan.last_stage() {
            return match &queues.results {
                Some(head) => Ok(Outlets(vec![Outlet::Head(head.clone())])),
                None => {
                    let back = self.outlet(spec, rank.index, RankIndex(0), queues, outgoing)?;
                    Ok(Outlets(vec![back]))
                }
            };
        }
        let next = spec.plan.ranks_of(StageIndex(rank.stage.0 + 1));
        let outlets = next.map(|to| self.outlet(spec, rank.index, to, queues, outgoing));
        Ok(Outlets(outlets.collect::<Result<_, _>>()?))
    }

    /// The way of steps to one rank: a queue of this worker, or an edge with a writer task.
    fn outlet(
        &mut self,
        spec: &PipelineSpec,
        rank: RankIndex,
        next: RankIndex,
        queues: &Queues,
        outgoing: &mut BTreeMap<Edge, edge_writer::OutgoingEdge>,
    ) -> Result<Outlet, WorkerError> {
        let opened = outgoing.remove(&Edge { from: rank, to: next });
        if let Some(edge) = opened {
            let (sender, receiver) = mpsc::channel(in_flight_max(&spec.plan));
            let writer = edge_writer::run(edge, spec.clone(), rank, receiver);
            self.edges.spawn(async move { writer.await.err().map(|error| error.to_string()) });
            return Ok(Outlet::Edge(sender));
        }
        let local = queues.stages.get(&next).cloned().map(Outlet::NextStage);
        local.ok_or_else(|| WorkerError::StreamLost {
            node: String::new(),
            reason: format!("no edge was opened from rank {rank} to rank {next}"),
        })
    }

    /// Waits for the end; `Some` says why the pipeline is lost.
    async fn wait(&mut self, stopped: &mut oneshot::Receiver<Stop>) -> Option<String> {
        let mut stop_open = true;
        loop {
            tokio::select! {
                Some(ended) = self.edges.join_next(), if !self.edges.is_empty() => match ended {
                    Ok(Some(reason)) => return Some(reason),
                    // A writer whose stage stopped; the stage itself says why.
                    Ok(None) => {}
                    Err(error) => return Some(format!("an edge task ended: {error}")),
                },
                Some(ended) = self.threads.next(), if !self.threads.is_empty() => {
                    let Ok(Ended { loaded, failure }) = ended else {
                        return Some("a stage thread panicked".to_owned());
                    };
                    self.returned.push(loaded);
                    if let Some(reason) = failure {
                        return Some(reason);
                    }
                }
                // A head that was told to end is not lost.
                reason = HeadTask::ended(&mut self.head) => return reason.filter(|_| stop_open),
                why = &mut *stopped, if stop_open => {
                    stop_open = false;
                    let why = why.unwrap_or(Stop::Removed);
                    match (&mut self.head, why) {
                        (Some(head), Stop::Drain(deadline)) => head.end(HeadEnd::Drain(deadline)),
                        (Some(head), Stop::Replaced) => {
                            let reason = "a newer epoch replaces this one".to_owned();
                            head.end(HeadEnd::Lost(reason));
                        }
                        (Some(head), Stop::Removed) => head.end(HeadEnd::Stop),
                        (None, _) => return None,
                    }
                }
            }
        }
    }

    /// Refuses what is left, closes every edge, and collects the stages.
    async fn take_down(mut self, lost: Option<String>) -> Vec<LoadedStage> {
        // A rank may be waiting for others, in the middle of a step.
        for (rank, fate) in &self.fates {
            fate.end(rank.0 as usize, "its epoch is over".to_owned());
        }
        if let Some(mut head) = self.head.take() {
            head.end(lost.map_or(HeadEnd::Stop, HeadEnd::Lost));
            head.finish().await;
        }
        self.edges.shutdown().await;
        let mut returned = self.returned;
        let collected = tokio::time::timeout(STAGE_END_TIMEOUT, async {
            while let Some(ended) = self.threads.next().await {
                if let Ok(Ended { loaded, .. }) = ended {
                    returned.push(loaded);
                }
            }
        });
        if collected.await.is_err() {
            tracing::error!("a stage thread did not end in time; its memory stays booked");
        }
        returned
    }
}

impl Queues {
    fn inlet(&self, edge: Edge) -> Option<Inlet> {
        match edge.to {
            RankIndex(0) => self.results.clone().map(Inlet::Head),
            rank => self.stages.get(&rank).cloned().map(Inlet::Stage),
        }
    }
}
