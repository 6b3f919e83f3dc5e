//! Continuous batching at the head of a replica: which rows run next, and where their state lives.
//!
//! A pure state machine: the driver feeds events, performs the actions, and brings the clock.

mod action;
mod admission;
mod batch_builder;
mod block_allocator;
mod block_table;
mod config;
mod event;
mod in_flight;
mod invariants;
mod preemption;
mod results;
mod sequence;
mod state_slots;
mod step_time;
mod stop_condition;
#[cfg(test)]
mod tests;
mod waiting_queue;

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::generate::{FinishReason, Refusal};
use protocol::ids::SequenceId;
use protocol::shard::ReplicaLoad;

pub use action::Action;
pub use config::{STEP_TARGET, SchedulerConfig};
pub use event::{Event, StreamKey};

use block_allocator::BlockAllocator;
use in_flight::InFlight;
use sequence::{Rank, Sequence};
use state_slots::StateSlots;
use step_time::StepTime;
use waiting_queue::WaitingQueue;

/// The scheduler of one epoch of one replica.
#[derive(Debug)]
pub struct Scheduler {
    config: SchedulerConfig,
    phase: Phase,
    /// Every sequence that has not ended; each stands in `running` or in `waiting`.
    sequences: BTreeMap<StreamKey, Sequence>,
    /// Those that hold blocks.
    running: BTreeMap<Rank, StreamKey>,
    waiting: WaitingQueue,
    blocks: BlockAllocator,
    slots: StateSlots,
    in_flight: InFlight,
    step_time: StepTime,
    /// Runs that are over and that the stages have not been told of.
    ended: Vec<SequenceId>,
    arrivals: u64,
    runs: u64,
    steps: u64,
    preemptions: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// What runs may finish.
    Draining,
    Stopped,
    Lost {
        reason: String,
    },
}

impl Scheduler {
    pub fn new(config: SchedulerConfig) -> Self {
        Self {
            phase: Phase::Serving,
            sequences: BTreeMap::new(),
            running: BTreeMap::new(),
            waiting: WaitingQueue::default(),
            blocks: BlockAllocator::new(config.kv.blocks, config.kv.block_size),
            slots: StateSlots::new(if config.recurrent { config.sequences_max() } else { 0 }),
            in_flight: InFlight::default(),
            step_time: StepTime::new(),
            ended: Vec::new(),
            arrivals: 0,
            runs: 0,
            steps: 0,
            preemptions: 0,
            config,
        }
    }

    /// Takes one event in and says what is to be done. `now` counts from any fixed origin.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Submit { key, request } => self.submit(key, request, &mut actions),
            Event::Cancel { key } => self.finish(key, FinishReason::Cancelled, &mut actions),
            Event::StepDone(result) => self.step_done(&result, &mut actions),
            Event::PipelineLost { reason } => self.lose(reason, &mut actions),
            Event::Drain => self.drain(&mut actions),
            Event::Stop => self.stop(&mut actions),
            Event::Tick => self.check_deadline(now, &mut actions),
        }
        self.dispatch(now, &mut actions);
        #[cfg(debug_assertions)]
        if let Err(broken) = self.check() {
            panic!("scheduler invariant broken: {broken}");
        }
        actions
    }

    /// When a `Tick` is due at the latest; none while nothing is in flight.
    pub fn deadline(&self) -> Option<Duration> {
        self.in_flight.oldest().map(|step| step.dispatched_at + self.config.step_timeout)
    }

    pub fn load(&self) -> ReplicaLoad {
        ReplicaLoad {
            replica: self.config.replica,
            epoch: self.config.epoch,
            running: self.running.len() as u32,
            waiting: self.waiting.len(),
            blocks_free: self.blocks.free(),
            blocks_total: self.blocks.total(),
        }
    }

    /// Nothing runs, waits or is in flight: a drained scheduler may go.
    pub fn is_idle(&self) -> bool {
        self.sequences.is_empty() && self.in_flight.len() == 0
    }

    /// Sequences put back to the queue for want of blocks, since the epoch began.
    pub fn preemptions(&self) -> u64 {
        self.preemptions
    }

    fn finish(&mut self, key: StreamKey, reason: FinishReason, actions: &mut Vec<Action>) {
        if self.remove(key) {
            actions.push(Action::Finish { key, reason });
        }
    }

    fn refuse(&mut self, key: StreamKey, refusal: Refusal, actions: &mut Vec<Action>) {
        self.remove(key);
        actions.push(Action::Refuse { key, refusal });
    }

    /// Forgets a sequence; its blocks and slot are free for the next batch. False if there is none.
    fn remove(&mut self, key: StreamKey) -> bool {
        let Some(mut sequence) = self.sequences.remove(&key) else {
            return false;
        };
        if self.running.remove(&sequence.rank).is_some() {
            self.ended.push(sequence.run);
        } else {
            self.waiting.remove(sequence.rank);
        }
        sequence.table.release(&mut self.blocks);
        self.slots.give_back(&mut sequence.slot);
        true
    }

    fn lose(&mut self, reason: String, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Lost { .. }) {
            return;
        }
        self.end_all(&Refusal::PipelineLost { reason: reason.clone() }, actions);
        self.phase = Phase::Lost { reason };
    }

    fn stop(&mut self, actions: &mut Vec<Action>) {
        self.end_all(&Refusal::ShuttingDown, actions);
        if !matches!(self.phase, Phase::Lost { .. }) {
            self.phase = Phase::Stopped;
        }
    }

    fn end_all(&mut self, refusal: &Refusal, actions: &mut Vec<Action>) {
        let keys: Vec<_> = self.sequences.keys().copied().collect();
        for key in keys {
            self.refuse(key, refusal.clone(), actions);
        }
        self.in_flight.clear();
        self.ended.clear();
    }

    fn drain(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Serving {
            return;
        }
        self.phase = Phase::Draining;
        // What has begun may end here; what has not is quicker elsewhere.
        let fresh = |key: &StreamKey| self.sequences.get(key).is_some_and(|s| s.emitted.is_empty());
        let waiting = self.waiting.iter().map(|(_, key)| key);
        for key in waiting.filter(fresh).collect::<Vec<_>>() {
            self.refuse(key, Refusal::ShuttingDown, actions);
        }
    }

    fn check_deadline(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if let (Some(deadline), Some(step)) = (self.deadline(), self.in_flight.oldest())
            && now >= deadline
        {
            let limit = self.config.step_timeout.as_secs_f32();
            self.abandon(format!("step {} had no result within {limit} s", step.id), actions);
        }
    }

    fn abandon(&mut self, reason: String, actions: &mut Vec<Action>) {
        self.lose(reason.clone(), actions);
        actions.push(Action::Abandon { reason });
    }
}
