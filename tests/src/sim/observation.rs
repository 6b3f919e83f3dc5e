//! What the invariants get to see: one observation for everything that matters.

use std::time::Duration;

use coordinator::gateway::request;
use protocol::plan::KvPlan;
use protocol::shard::ReplicaLoad;
use protocol::step_batch::StepBatch;
use worker::scheduler;
use worker::shard::ShardKey;

/// A scheduler's name: no two epochs and no two lives of a process share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SchedulerName {
    pub worker: usize,
    pub life: u64,
    pub key: ShardKey,
}

pub enum Observation<'a> {
    /// A scheduler took `event` in and asked for `actions`.
    Scheduled {
        scheduler: SchedulerName,
        kv: KvPlan,
        event: &'a scheduler::Event,
        actions: &'a [scheduler::Action],
        load: ReplicaLoad,
        check: Result<(), String>,
    },
    /// A worker ran a batch of epoch `key` while `held` was what it shall hold.
    Executed { worker: usize, key: ShardKey, held: Option<ShardKey>, batch: &'a StepBatch },
    /// A gateway sent a client's request to the head of `key`.
    Submitted { client: usize, attempt: request::Attempt, key: ShardKey },
    /// A client's request took a token or an end; `source` is what it came from, if from a head.
    Told { client: usize, source: Option<ShardKey>, action: &'a request::Action },
}

/// How a client's request stood when the simulation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Running,
    /// Its end was told.
    Ended,
    /// The client hung up, or its gateway died with the connection.
    Gone,
}

/// The state at the end of a simulation.
pub struct End {
    pub now: Duration,
    pub fates: Vec<Fate>,
    /// Load of every scheduler that still lives.
    pub loads: Vec<ReplicaLoad>,
}

/// What a simulation went through; shows that it was not an idle one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub tokens: u64,
    pub submissions: u64,
    /// Submissions of requests that had run before.
    pub resumes: u64,
    pub whole_answers: u64,
    pub failures: u64,
    pub preemptions: u64,
    pub cancels: u64,
    /// When each plan was committed, and the node of each of its stages.
    pub plans: Vec<(Duration, Vec<usize>)>,
}

impl Summary {
    pub(super) fn note(&mut self, observation: &Observation<'_>) {
        match observation {
            Observation::Scheduled { event: scheduler::Event::Cancel { .. }, .. } => {
                self.cancels += 1;
            }
            Observation::Submitted { attempt, .. } => {
                self.submissions += 1;
                self.resumes += u64::from(attempt.0 > 1);
            }
            Observation::Told { action: request::Action::Emit(_), .. } => self.tokens += 1,
            Observation::Told { action: request::Action::Finish(_), .. } => self.whole_answers += 1,
            Observation::Told { action: request::Action::Fail(_), .. } => self.failures += 1,
            _ => {}
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.submissions += other.submissions;
        self.resumes += other.resumes;
        self.whole_answers += other.whole_answers;
        self.failures += other.failures;
        self.preemptions += other.preemptions;
        self.cancels += other.cancels;
        self.plans.extend(other.plans.iter().cloned());
    }
}
