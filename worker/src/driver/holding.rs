//! What the driver holds of one replica: work under way, stages in memory, or a running pipeline.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::loading::{Loaded, ModelFacts};
use crate::device::Device;
use crate::pipeline::{LoadedStage, Pipeline, Stop};

#[derive(Default)]
pub(super) struct Holding {
    pub(super) work: Option<Work>,
    pub(super) held: Held,
}

#[derive(Default)]
pub(super) enum Held {
    #[default]
    Nothing,
    Stages(Loaded),
    /// Also one that has ended: its stages are taken from it.
    Pipeline(Pipeline, ModelFacts),
}

pub(super) enum Work {
    /// May be broken off at any point: what was fetched stays in the store.
    Fetch(JoinHandle<()>),
    /// Runs to its end once it holds a device's memory.
    Load {
        task: JoinHandle<()>,
        /// Dropped to break it off before. One that waits for memory must not be waited for: what
        /// it waits for is that what leaves has left.
        wanted: Option<oneshot::Sender<()>>,
    },
}

impl Holding {
    /// Ends everything in the background; loads wait until the memory is free.
    pub(super) fn release(self, devices: &[Arc<Device>]) {
        let leaving: Vec<_> = devices.iter().map(Device::leave).collect();
        tokio::spawn(async move {
            match self.work {
                Some(Work::Fetch(task)) => task.abort(),
                Some(Work::Load { task, wanted }) => {
                    drop(wanted);
                    let _ = task.await;
                }
                None => {}
            }
            let stages = self.held.into_stages(Stop::Removed).await;
            free_now(stages).await;
            drop(leaving);
        });
    }

    pub(super) async fn drain(self, time: Duration) {
        if let Some(Work::Fetch(task) | Work::Load { task, .. }) = self.work {
            task.abort();
        }
        free_now(self.held.into_stages(Stop::Drain(time)).await).await;
    }
}

impl Held {
    pub(super) async fn into_stages(self, why: Stop) -> Vec<LoadedStage> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Stages(loaded) => loaded.stages,
            Self::Pipeline(pipeline, _) => pipeline.into_stages(why).await,
        }
    }
}

/// Frees gigabytes away from the async threads.
pub(super) fn free(stages: Vec<LoadedStage>) {
    drop(tokio::task::spawn_blocking(move || drop(stages)));
}

async fn free_now(stages: Vec<LoadedStage>) {
    let _ = tokio::task::spawn_blocking(move || drop(stages)).await;
}
