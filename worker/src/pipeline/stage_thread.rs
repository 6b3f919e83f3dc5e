//! The thread that owns a stage: takes steps in the head's order, one at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use engine::collective::{CollectiveError, Fate, Joined, over_nccl};
use engine::{Stage, StageInput, StageOutput};
use protocol::ids::SequenceId;
use protocol::step_batch::{StepBatch, StepResult};
use tokio::sync::{mpsc, oneshot};

use super::group::Group;
use super::lower_priority;
use super::step::{Outlets, StepInput, StepOutput};
use crate::device::{Booking, Device};
use crate::error::WorkerError;
use crate::shard::LocalRank;

/// A stage in memory, with the bytes booked for it. Fields drop in order: memory before booking.
pub(crate) struct LoadedStage {
    pub(crate) rank: LocalRank,
    stage: Stage,
    device: Arc<Device>,
    _booking: Booking,
    /// Sequences that an earlier epoch began and did not end: forgotten with the first step.
    open: BTreeSet<SequenceId>,
    /// The other ranks of its stage, in this epoch.
    group: Option<Group>,
    fate: Fate,
}

impl LoadedStage {
    pub(crate) fn new(
        rank: LocalRank,
        stage: Stage,
        device: Arc<Device>,
        booking: Booking,
    ) -> Self {
        let (open, group, fate) = (BTreeSet::new(), None, Fate::default());
        Self { rank, stage, device, _booking: booking, open, group, fate }
    }

    /// Computes with the other ranks of its stage until its thread ends.
    pub(super) fn join(&mut self, group: Group) {
        self.fate = group.fate.clone();
        self.group = Some(group);
    }

    /// On the stage's thread, as the other ranks do it on theirs: NCCL is set up between them.
    fn meet_group(&mut self) -> Result<(), CollectiveError> {
        let Some(group) = self.group.take() else { return Ok(()) };
        let Some(interfaces) = &group.nccl_interfaces else {
            self.stage.join(Box::new(group.mesh));
            return Ok(());
        };
        let Joined { group, instead } = over_nccl(group.mesh, self.device.place(), interfaces)?;
        match instead {
            None => tracing::info!(stage = %self.rank.stage, "the group exchanges over NCCL"),
            Some(why) => tracing::warn!(stage = %self.rank.stage, %why,
                "NCCL is not used: the group exchanges through the host"),
        }
        self.stage.join(group);
        Ok(())
    }

    fn is_shared(&self) -> bool {
        let share = self.rank.plan.share;
        share.units != share.of
    }
}

/// How a stage thread ended.
pub(super) struct Ended {
    pub(super) loaded: LoadedStage,
    /// Why it could not go on; `None` when its input was closed.
    pub(super) failure: Option<String>,
}

/// Runs `loaded` on a thread of its own until `input` is closed or a step fails.
pub(super) fn spawn(
    loaded: LoadedStage,
    input: mpsc::Receiver<StepInput>,
    outlets: Outlets,
) -> Result<oneshot::Receiver<Ended>, WorkerError> {
    let (done, ended) = oneshot::channel();
    let name = format!("stage-{}", loaded.rank.stage);
    let body = move || {
        lower_priority();
        // Nobody may wait any more: then the stage is freed here.
        let _ = done.send(work(loaded, input, &outlets));
    };
    std::thread::Builder::new().name(name).spawn(body).map_err(WorkerError::Thread)?;
    Ok(ended)
}

impl LoadedStage {
    /// Keeps count of the sequences that the stage knows. The ids of a new epoch start over, so
    /// those left of the last one end before its first step.
    fn follow(&mut self, batch: &mut StepBatch) {
        if batch.step.0 == 0 {
            batch.ends.extend(std::mem::take(&mut self.open));
        }
        for ended in &batch.ends {
            self.open.remove(ended);
        }
        self.open.extend(batch.starts.iter().map(|start| start.sequence));
    }
}

fn work(mut loaded: LoadedStage, input: mpsc::Receiver<StepInput>, outlets: &Outlets) -> Ended {
    let failure = work_off(&mut loaded, input, outlets).err();
    if loaded.is_shared() {
        // The other ranks must not wait for one that is gone.
        loaded.stage.leave();
    }
    Ended { loaded, failure }
}

fn work_off(
    loaded: &mut LoadedStage,
    mut input: mpsc::Receiver<StepInput>,
    outlets: &Outlets,
) -> Result<(), String> {
    let first = loaded.rank.stage.0 == 0;
    let stage_label = loaded.rank.stage.to_string();
    loaded.meet_group().map_err(|error| format!("stage {stage_label}: {error}"))?;
    while let Some(mut step) = input.blocking_recv() {
        let id = step.batch.step;
        loaded.follow(&mut step.batch);
        let device = Arc::clone(&loaded.device);
        let output = {
            // A rank that waits for another must not keep a device from the one that is waited
            // for: those of a group take turns by parallel region instead.
            let _turn = (!loaded.is_shared()).then(|| device.turn());
            let started = Instant::now();
            let output = run(&mut loaded.stage, step, first, started);
            metrics::histogram!("trireme_stage_compute_seconds", "stage" => stage_label.clone())
                .record(started.elapsed().as_secs_f64());
            output
        };
        let whole = || loaded.fate.check().map_err(|error| error.to_string());
        output
            .and_then(|output| whole().map(|()| output))
            .and_then(|output| outlets.pass(output))
            .map_err(|reason| format!("stage {stage_label}, step {id}: {reason}"))?;
    }
    Ok(())
}

fn run(
    stage: &mut Stage,
    step: StepInput,
    first: bool,
    started: Instant,
) -> Result<StepOutput, String> {
    let StepInput { batch, mut stage_micros, activations } = step;
    let input = if first { StageInput::Tokens } else { StageInput::Activations(&activations) };
    let micros = || u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
    match stage.forward(&batch, input).map_err(|error| error.to_string())? {
        StageOutput::Activations(values) => {
            let activations = Bytes::copy_from_slice(values);
            stage_micros.push(micros());
            Ok(StepOutput::Activations(StepInput { batch, stage_micros, activations }))
        }
        StageOutput::Samples(samples) => {
            stage_micros.push(micros());
            let samples = samples.to_vec();
            Ok(StepOutput::Result(StepResult { step: batch.step, samples, stage_micros }))
        }
    }
}
