//! A simulated pipeline at work: frames fenced by epoch, a fake stage on every rank, the real
//! scheduler at the head.

use std::time::Duration;

use protocol::generate::{GenerateEvent, GenerateRequest, Refusal};
use protocol::ids::TokenId;
use protocol::step_batch::{StepBatch, StepResult};
use worker::scheduler::{Action, Event, STEP_TARGET, SchedulerConfig, StreamKey};
use worker::shard::ShardKey;

use super::cluster::{Cluster, Message};
use super::fake_stage::VOCAB_SIZE;
use super::network::{PipeId, Place};
use super::observation::{Observation, SchedulerName};
use super::sabotage::Sabotage;
use super::sim_edges::Running;
use super::sim_worker::WorkerTimer;

const STEP_TIMEOUT: Duration = Duration::from_secs(10);
const WAITING_MAX: u32 = 64;

impl Running {
    pub(super) fn scheduler_config(&self) -> SchedulerConfig {
        SchedulerConfig {
            replica: self.key.replica,
            epoch: self.key.epoch,
            kv: self.shard.plan.kv(),
            stages: self.shard.plan.stages().len() as u32,
            vocab_size: VOCAB_SIZE,
            recurrent: true,
            waiting_max: WAITING_MAX,
            step_target: STEP_TARGET,
            step_timeout: STEP_TIMEOUT,
        }
    }
}

impl Cluster {
    pub(super) fn worker_hears(&mut self, index: usize, pipe: PipeId, message: Message) {
        match message {
            Message::ToWorker(message) => self.told_by_coordinator(index, pipe, message),
            Message::Hello { key, edge } => self.hello(index, pipe, key, edge),
            Message::Answer { key, edge, answer } => self.answered(index, pipe, key, edge, answer),
            Message::Step { key, batch, stage_micros } => {
                self.step_frame(index, key, batch, stage_micros);
            }
            Message::Result { key, result } if self.runs(index, key) => {
                self.feed_head(index, key, Event::StepDone(result));
            }
            Message::Generate { key, request } => self.generate(index, pipe, key, *request),
            _ => {}
        }
    }

    /// The fence: what belongs to another epoch than mine does not run.
    fn step_frame(&mut self, index: usize, key: ShardKey, batch: StepBatch, micros: Vec<u32>) {
        if self.runs(index, key) {
            self.enter_stage(index, key, batch, micros);
        } else if self.sabotage == Sabotage::StaleFrames {
            let held = self.held(index, key.replica);
            self.observe(&Observation::Executed { worker: index, key, held, batch: &batch });
        }
    }

    fn enter_stage(&mut self, index: usize, key: ShardKey, batch: StepBatch, micros: Vec<u32>) {
        let cost =
            self.random.millis(1, 4) + Duration::from_micros(50) * batch.token_count() as u32;
        let now = self.agenda.now();
        let Some(running) = self.running(index, key) else { return };
        running.busy_until = running.busy_until.max(now) + cost;
        let wait = running.busy_until - now;
        let mut stage_micros = micros;
        stage_micros.push(cost.as_micros() as u32);
        self.worker_after(index, wait, WorkerTimer::StageDone { key, batch, stage_micros });
    }

    pub(super) fn stage_done(
        &mut self,
        index: usize,
        key: ShardKey,
        batch: StepBatch,
        stage_micros: Vec<u32>,
    ) {
        if !self.runs(index, key) {
            return;
        }
        let held = self.held(index, key.replica);
        self.observe(&Observation::Executed { worker: index, key, held, batch: &batch });
        let Some(running) = self.running(index, key) else { return };
        let samples = match running.stage.run(&batch) {
            Ok(samples) => samples,
            Err(why) => {
                self.violation.get_or_insert(format!("stage memory: worker {index}: {why}"));
                return;
            }
        };
        let next = running.outgoing.values().next().and_then(|edge| edge.pipe);
        let last = running.rank.stage == running.shard.plan.last_stage();
        let result = StepResult { step: batch.step, samples, stage_micros: stage_micros.clone() };
        let message = match (last, next) {
            (true, None) => return self.feed_head(index, key, Event::StepDone(result)),
            (true, Some(_)) => Message::Result { key, result },
            (false, _) => Message::Step { key, batch, stage_micros },
        };
        if let Some(pipe) = next {
            self.send(pipe, Place::Worker(index), message);
        }
    }

    fn generate(&mut self, index: usize, pipe: PipeId, key: ShardKey, request: GenerateRequest) {
        let held = self.held(index, key.replica);
        let stale = held.is_some_and(|held| held.epoch > key.epoch);
        let stream = StreamKey(self.workers[index].streams);
        let head = self.running(index, key).and_then(|running| running.head.as_mut());
        let Some(head) = head else {
            let refusal = if stale { Refusal::StaleEpoch } else { Refusal::NotYet };
            let event = GenerateEvent::Refused(refusal);
            return self.send(pipe, Place::Worker(index), Message::Generated { key, event });
        };
        head.streams.insert(stream, pipe);
        self.workers[index].streams += 1;
        // Marks the run so that invariants can tell whose it is; the fake stage does not read it.
        let mut request = request;
        request.sampling.logit_bias = vec![(TokenId(stream.0 as u32), 0.0)];
        self.feed_head(index, key, Event::Submit { key: stream, request });
    }

    pub(super) fn head_tick(&mut self, index: usize, key: ShardKey) {
        if let Some(running) = self.running(index, key)
            && let Some(head) = running.head.as_mut()
        {
            head.armed = None;
            self.feed_head(index, key, Event::Tick);
        }
    }

    pub(super) fn feed_head(&mut self, index: usize, key: ShardKey, event: Event) {
        let (now, sabotage, life) = (self.agenda.now(), self.sabotage, self.workers[index].life);
        let Some(running) = self.running(index, key) else { return };
        let kv = running.shard.plan.kv();
        let Some(head) = running.head.as_mut() else { return };
        let preempted = head.scheduler.preemptions();
        let told = sabotage.of_event(event.clone());
        let actions = sabotage.of_actions(head.scheduler.step(told, now));
        let (load, check) = (head.scheduler.load(), head.scheduler.check());
        let preempted = head.scheduler.preemptions() - preempted;
        let deadline = head.scheduler.deadline();
        if let Some(deadline) = deadline.filter(|_| head.armed.is_none()) {
            head.armed = Some(deadline);
            self.worker_after(index, deadline.saturating_sub(now), WorkerTimer::HeadTick(key));
        }
        self.summary.preemptions += preempted;
        let scheduler = SchedulerName { worker: index, life, key };
        let (event, shown) = (&event, &actions[..]);
        self.observe(&Observation::Scheduled { scheduler, kv, event, actions: shown, load, check });
        for action in actions {
            self.head_action(index, key, action);
        }
    }

    fn head_action(&mut self, index: usize, key: ShardKey, action: Action) {
        match action {
            Action::Dispatch(batch) => self.enter_stage(index, key, batch, Vec::new()),
            Action::Accept { key: stream } => {
                self.tell(index, key, stream, GenerateEvent::Accepted, false);
            }
            Action::Emit { key: stream, token } => {
                self.tell(index, key, stream, GenerateEvent::Token(token), false);
            }
            Action::Finish { key: stream, reason } => {
                self.tell(index, key, stream, GenerateEvent::Finished(reason), true);
            }
            Action::Refuse { key: stream, refusal } => {
                self.tell(index, key, stream, GenerateEvent::Refused(refusal), true);
            }
            Action::Abandon { reason } => self.fail(index, key, &reason),
        }
    }

    fn tell(
        &mut self,
        index: usize,
        key: ShardKey,
        stream: StreamKey,
        event: GenerateEvent,
        last: bool,
    ) {
        let head = self.running(index, key).and_then(|running| running.head.as_mut());
        let Some(head) = head else { return };
        let pipe =
            if last { head.streams.remove(&stream) } else { head.streams.get(&stream).copied() };
        if let Some(pipe) = pipe {
            self.send(pipe, Place::Worker(index), Message::Generated { key, event });
        }
    }
}
