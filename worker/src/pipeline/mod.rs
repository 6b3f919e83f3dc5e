//! The running part of a shard: stage threads, edges to the neighbours, and the head's driver.

mod connect;
mod edge_reader;
mod edge_writer;
pub(crate) mod generate_stream;
mod group;
mod head;
mod priority;
mod registry;
mod running;
mod stage_thread;
mod step;

use std::sync::Arc;
use std::time::Duration;

use protocol::ids::NodeId;
use protocol::plan::Plan;
use protocol::shard::ReplicaLoad;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::Timeouts;
use crate::data_plane::PeerPool;
use crate::driver::Outcome;
use crate::shard::{ShardEvent, ShardKey};

pub(crate) use edge_reader::IncomingEdge;
pub(crate) use group::IncomingLink;
pub(crate) use priority::lower_priority;
pub(crate) use registry::Registry;
pub(crate) use stage_thread::LoadedStage;

/// What every pipeline of a worker shares.
#[derive(Clone)]
pub(crate) struct PipelineContext {
    pub(crate) own: NodeId,
    pub(crate) peers: Arc<PeerPool>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) outcomes: mpsc::Sender<Outcome>,
    pub(crate) timeouts: Timeouts,
}

/// One epoch of one replica, with the facts of its model that frames are checked against.
#[derive(Clone)]
pub(crate) struct PipelineSpec {
    pub(crate) key: ShardKey,
    pub(crate) plan: Arc<Plan>,
    pub(crate) hidden_size: u32,
    pub(crate) vocab_size: u32,
    /// Some layer of the model keeps its state in a slot.
    pub(crate) recurrent: bool,
}

/// Why a pipeline ends.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// The shard went away.
    Removed,
    /// A newer epoch takes the stages over.
    Replaced,
    /// The worker shuts down: what runs may end within this time.
    Drain(Duration),
}

/// A pipeline that runs in the background until it is stopped or lost.
pub(crate) struct Pipeline {
    pub(crate) key: ShardKey,
    stop: Option<oneshot::Sender<Stop>>,
    load: watch::Receiver<Option<ReplicaLoad>>,
    ended: tokio::task::JoinHandle<Vec<LoadedStage>>,
}

impl Pipeline {
    /// Starts connecting; ends in `Connected`, then `Failed` when it is lost.
    pub(crate) fn start(
        context: PipelineContext,
        spec: PipelineSpec,
        stages: Vec<LoadedStage>,
    ) -> Self {
        let key = spec.key;
        let (stop, stopped) = oneshot::channel();
        let (load_sender, load) = watch::channel(None);
        let ended = tokio::spawn(running::run(context, spec, stages, load_sender, stopped));
        Self { key, stop: Some(stop), load, ended }
    }

    /// Load of the replica, at its head only.
    pub(crate) fn load(&self) -> Option<ReplicaLoad> {
        *self.load.borrow()
    }

    pub(crate) fn stop(&mut self, why: Stop) {
        if let Some(stop) = self.stop.take() {
            // A pipeline that was lost has ended by itself.
            let _ = stop.send(why);
        }
    }

    /// The stages, once no thread runs them any more.
    pub(crate) async fn into_stages(mut self, why: Stop) -> Vec<LoadedStage> {
        self.stop(why);
        self.ended.await.unwrap_or_default()
    }
}

impl PipelineContext {
    /// Tells the shard lifecycle; waits while the driver is busy.
    pub(crate) async fn report(&self, event: ShardEvent) {
        // Fails only when the worker is shutting down.
        let _ = self.outcomes.send(Outcome::Shard(event)).await;
    }
}

/// Steps in flight at once, and so frames that an edge must be able to hold.
pub(crate) fn in_flight_max(plan: &Plan) -> usize {
    plan.stages().len()
}
