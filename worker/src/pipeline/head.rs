//! The driver of the scheduler at the head of a replica: feeds it events, performs its actions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::generate::{GenerateEvent, GenerateRequest};
use protocol::shard::ReplicaLoad;
use protocol::step_batch::StepResult;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::step::{Outlets, StepInput, StepOutput};
use super::{PipelineContext, PipelineSpec};
use crate::metrics::record_load;
use crate::scheduler::{Action, Event, STEP_TARGET, Scheduler, SchedulerConfig, StreamKey};

/// Messages of streams that wait for the driver; a stream's task waits when it is full.
const MAILBOX_MAX: usize = 256;
/// Sequences that may wait in the scheduler.
const WAITING_MAX: u32 = 256;
/// Events of a stream beyond its tokens: accepted, finished.
const EXTRA_EVENTS: usize = 8;
/// How long a head that ends may take to tell its streams.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Where streams reach the head; valid while its epoch runs.
#[derive(Clone)]
pub(crate) struct HeadHandle {
    mailbox: mpsc::Sender<Message>,
    keys: Arc<AtomicU64>,
    sequence_tokens_max: u32,
}

/// A sequence that the head was given, and what it says of it.
pub(crate) struct Submission {
    pub(crate) key: StreamKey,
    pub(crate) events: mpsc::Receiver<GenerateEvent>,
}

enum Message {
    Submit { key: StreamKey, request: Box<GenerateRequest>, events: mpsc::Sender<GenerateEvent> },
    Cancel { key: StreamKey },
}

/// How the head is told to end.
pub(super) enum HeadEnd {
    Lost(String),
    Stop,
    /// Take nothing new and end when nothing runs, at the latest after this time.
    Drain(Duration),
}

/// The driver's task as the pipeline holds it.
pub(super) struct HeadTask {
    pub(super) handle: HeadHandle,
    end: mpsc::Sender<HeadEnd>,
    task: JoinHandle<Option<String>>,
}

impl HeadHandle {
    /// Queues a sequence; `None` when the epoch is over.
    pub(crate) async fn submit(&self, request: GenerateRequest) -> Option<Submission> {
        let key = StreamKey(self.keys.fetch_add(1, Ordering::Relaxed));
        // A token is at most one event, so that the queue cannot overflow.
        let tokens = request.tokens_max.min(self.sequence_tokens_max) as usize;
        let (sender, events) = mpsc::channel(tokens + EXTRA_EVENTS);
        let request = Box::new(request);
        self.mailbox.send(Message::Submit { key, request, events: sender }).await.ok()?;
        Some(Submission { key, events })
    }

    pub(crate) async fn cancel(&self, key: StreamKey) {
        // An epoch that is over has cancelled everything.
        let _ = self.mailbox.send(Message::Cancel { key }).await;
    }
}

impl HeadTask {
    pub(super) fn start(
        context: &PipelineContext,
        spec: &PipelineSpec,
        batches: Outlets,
        results: mpsc::Receiver<StepResult>,
        load: watch::Sender<Option<ReplicaLoad>>,
    ) -> Self {
        let config = SchedulerConfig {
            replica: spec.key.replica,
            epoch: spec.key.epoch,
            kv: spec.plan.kv(),
            stages: spec.plan.stages().len() as u32,
            vocab_size: spec.vocab_size,
            recurrent: spec.recurrent,
            waiting_max: WAITING_MAX,
            step_target: STEP_TARGET,
            step_timeout: context.timeouts.step,
        };
        let (mailbox, messages) = mpsc::channel(MAILBOX_MAX);
        let (end, ends) = mpsc::channel(2);
        let keys = Arc::new(AtomicU64::new(0));
        let sequence_tokens_max = config.sequence_tokens_max();
        let handle = HeadHandle { mailbox, keys, sequence_tokens_max };
        let driver = Driver {
            scheduler: Scheduler::new(config),
            origin: Instant::now(),
            streams: BTreeMap::new(),
            batches,
            load,
            lost: None,
        };
        let task = tokio::spawn(driver.drive(messages, results, ends));
        Self { handle, end, task }
    }

    pub(super) fn end(&mut self, why: HeadEnd) {
        // A head that has ended needs no telling; a draining one may still be told to stop.
        let _ = self.end.try_send(why);
    }

    /// Resolves when the head has ended by itself; `Some` says why the pipeline is lost. Never
    /// resolves without a head.
    pub(super) async fn ended(head: &mut Option<Self>) -> Option<String> {
        let Some(running) = head.as_mut() else { return std::future::pending().await };
        let ended = (&mut running.task).await;
        *head = None;
        ended.unwrap_or_else(|error| Some(format!("the head's driver ended: {error}")))
    }

    pub(super) async fn finish(self) {
        let Self { task, .. } = self;
        let abort = task.abort_handle();
        if tokio::time::timeout(END_TIMEOUT, task).await.is_err() {
            abort.abort();
        }
    }
}

struct Driver {
    scheduler: Scheduler,
    origin: Instant,
    streams: BTreeMap<StreamKey, mpsc::Sender<GenerateEvent>>,
    /// Every rank of the first stage.
    batches: Outlets,
    load: watch::Sender<Option<ReplicaLoad>>,
    /// Set when the epoch cannot go on.
    lost: Option<String>,
}

impl Driver {
    async fn drive(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        mut results: mpsc::Receiver<StepResult>,
        mut ends: mpsc::Receiver<HeadEnd>,
    ) -> Option<String> {
        let mut drain_until: Option<Instant> = None;
        self.publish();
        while self.lost.is_none() {
            if drain_until.is_some_and(|end| self.scheduler.is_idle() || Instant::now() >= end) {
                self.feed(Event::Stop);
                return None;
            }
            let wake = self.wake_at(drain_until);
            tokio::select! {
                biased;
                end = ends.recv() => match end {
                    Some(HeadEnd::Drain(time)) => {
                        drain_until = Some(Instant::now() + time);
                        self.feed(Event::Drain);
                    }
                    Some(HeadEnd::Lost(reason)) => self.feed_last(Event::PipelineLost { reason }),
                    Some(HeadEnd::Stop) | None => {
                        self.feed(Event::Stop);
                        return None;
                    }
                },
                result = results.recv() => match result {
                    Some(result) => self.step_done(result),
                    None => self.feed_last(Event::PipelineLost {
                        reason: "the last stage has stopped".to_owned(),
                    }),
                },
                message = messages.recv() => match message {
                    Some(Message::Submit { key, request, events }) => {
                        self.streams.insert(key, events);
                        self.feed(Event::Submit { key, request: *request });
                    }
                    Some(Message::Cancel { key }) => self.feed(Event::Cancel { key }),
                    None => return None,
                },
                () = tokio::time::sleep_until(wake.into()) => self.feed(Event::Tick),
            }
        }
        self.lost
    }

    /// When to look again although nothing happened.
    fn wake_at(&self, drain_until: Option<Instant>) -> Instant {
        let idle = Instant::now() + Duration::from_secs(1);
        let step = self.scheduler.deadline().map(|deadline| self.origin + deadline);
        [step, drain_until].into_iter().flatten().fold(idle, Instant::min)
    }

    fn step_done(&mut self, result: StepResult) {
        metrics::counter!("trireme_steps_total").increment(1);
        metrics::counter!("trireme_tokens_sampled_total").increment(result.samples.len() as u64);
        self.feed(Event::StepDone(result));
    }

    fn feed_last(&mut self, event: Event) {
        if let Event::PipelineLost { reason } = &event {
            self.lost = Some(reason.clone());
        }
        self.feed(event);
    }

    fn feed(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.scheduler.step(event, self.origin.elapsed()) {
                events.extend(self.perform(action));
            }
        }
        self.publish();
    }

    /// Performs one action; what fails becomes an event.
    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Dispatch(batch) => {
                let step = StepInput { batch, stage_micros: vec![], activations: Bytes::new() };
                let reason = self.batches.pass(StepOutput::Activations(step)).err()?;
                self.lost = Some(reason.clone());
                Some(Event::PipelineLost { reason })
            }
            Action::Accept { key } => self.tell(key, GenerateEvent::Accepted),
            Action::Emit { key, token } => self.tell(key, GenerateEvent::Token(token)),
            Action::Finish { key, reason } => self.tell_last(key, GenerateEvent::Finished(reason)),
            Action::Refuse { key, refusal } => self.tell_last(key, GenerateEvent::Refused(refusal)),
            Action::Abandon { reason } => {
                self.lost = Some(reason);
                None
            }
        }
    }

    /// A stream that is gone or does not read gives its sequence up.
    fn tell(&mut self, key: StreamKey, event: GenerateEvent) -> Option<Event> {
        let sent = self.streams.get(&key).is_some_and(|stream| stream.try_send(event).is_ok());
        (!sent).then_some(Event::Cancel { key })
    }

    fn tell_last(&mut self, key: StreamKey, event: GenerateEvent) -> Option<Event> {
        if let Some(stream) = self.streams.remove(&key) {
            // Nobody listens to a cancelled stream.
            let _ = stream.try_send(event);
        }
        None
    }

    fn publish(&self) {
        let load = self.scheduler.load();
        record_load(&load);
        self.load.send_replace(Some(load));
    }
}
