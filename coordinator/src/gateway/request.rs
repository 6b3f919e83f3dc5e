//! The life of one choice of a request, PURE: it holds the sequence's truth (prompt, emitted ids,
//! parameters, seed) and resubmits it until it ends, over any number of heads and epochs.

mod action;
mod event;

use std::sync::Arc;
use std::time::Duration;

use protocol::generate::{FinishReason, GenerateEvent, GenerateRequest, Refusal};
use protocol::ids::TokenId;
use protocol::plan::Sharing;
use protocol::sampling_params::SamplingParams;

pub use self::action::{Action, Failure};
pub use self::event::{Attempt, Event};
use super::router::{self, ReplicaForm, Resting, Route, ShortageKind, Target};

/// Losses of an accepted sequence without a token in between, after which the sequence itself is
/// suspected of breaking its replicas.
const LOSSES_MAX: u32 = 8;
/// First pause before the same (replica, epoch) is asked again; doubles up to `PAUSE_MAX`.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(800);
/// Pause after a refusal that only a newer epoch is expected to cure.
const PAUSE_FENCED: Duration = Duration::from_secs(1);

/// What is asked of the cluster; never changes.
#[derive(Clone, Debug)]
pub struct ChoiceSpec {
    pub request_id: String,
    pub prompt: Arc<[TokenId]>,
    pub sampling: SamplingParams,
    pub choice_seed: u64,
    /// Tokens of the answer, at least 1.
    pub tokens_max: u32,
}

/// How long each wait may last.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a replica that accepts the sequence.
    pub plan: Duration,
    /// For a head's answer to a submission.
    pub accept: Duration,
    /// For the first token of a submission: queue and prefill.
    pub first_token: Duration,
    /// Between two tokens.
    pub silence: Duration,
    /// For everything.
    pub total: Duration,
}

pub struct RequestLife {
    spec: ChoiceSpec,
    patience: Patience,
    emitted: Vec<TokenId>,
    state: State,
    route: Route,
    resting: Resting,
    attempts: u32,
    started: Duration,
    /// Set by the first acceptance.
    form: Option<ReplicaForm>,
    /// Of the last acceptance.
    sharing: Option<Sharing>,
    /// Since when no head owns the sequence.
    unowned_since: Duration,
    /// Submissions that failed since the last token.
    failures: u32,
    /// Accepted submissions that were lost since the last token.
    losses: u32,
    last_loss: Option<String>,
}

enum State {
    Waiting,
    Submitted { attempt: Attempt, target: Target, stage: Stage, since: Duration },
    Ended,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Sent,
    Accepted,
    Emitting,
}

impl RequestLife {
    pub fn new(spec: ChoiceSpec, patience: Patience, now: Duration) -> Self {
        Self {
            spec,
            patience,
            emitted: Vec::new(),
            state: State::Waiting,
            route: Route::default(),
            resting: Resting::new(),
            attempts: 0,
            started: now,
            form: None,
            sharing: None,
            unowned_since: now,
            failures: 0,
            losses: 0,
            last_loss: None,
        }
    }

    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            _ if self.ended() => {}
            Event::Route(route) => self.reroute(route, now, &mut actions),
            Event::Head { attempt, replica, epoch, event } => {
                let Some(target) = self.current(attempt) else { return actions };
                // A refusal may name the epoch that the head is in; everything else must be ours.
                let refusal = matches!(event, GenerateEvent::Refused(_));
                if refusal || target.key() == (replica, epoch) {
                    self.heard(event, now, &mut actions);
                } else {
                    let reason =
                        format!("a frame of replica {replica} epoch {epoch} on its stream");
                    self.cancel(&mut actions);
                    self.lose(Pause::Growing, reason, now, &mut actions);
                }
            }
            Event::Lost { attempt, reason } => {
                if self.current(attempt).is_some() {
                    self.lose(Pause::Growing, reason, now, &mut actions);
                }
            }
            Event::StopString => {
                self.cancel(&mut actions);
                self.end(Action::Finish(FinishReason::Stop), &mut actions);
            }
            Event::ClientGone => {
                self.cancel(&mut actions);
                self.state = State::Ended;
            }
            Event::Timer => self.timer(now, &mut actions),
        }
        actions
    }

    /// When to call `step` with `Event::Timer` at the latest; `None` when the life is over.
    pub fn deadline(&self) -> Option<Duration> {
        let next = match &self.state {
            State::Ended => return None,
            State::Waiting => {
                let rested = router::rested_at(&self.route, self.form, &self.resting);
                let plan = self.unowned_since + self.patience.plan;
                rested.map_or(plan, |at| at.min(plan))
            }
            State::Submitted { stage, since, .. } => match stage {
                Stage::Sent => {
                    (*since + self.patience.accept).min(self.unowned_since + self.patience.plan)
                }
                Stage::Accepted => *since + self.patience.first_token,
                Stage::Emitting => *since + self.patience.silence,
            },
        };
        Some(next.min(self.started + self.patience.total))
    }

    /// Ids of the answer so far.
    pub fn emitted(&self) -> &[TokenId] {
        &self.emitted
    }

    pub fn ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// The replica and epoch that own the sequence or were last asked to.
    pub fn target(&self) -> Option<&Target> {
        match &self.state {
            State::Submitted { target, .. } => Some(target),
            _ => None,
        }
    }

    fn current(&self, of: Attempt) -> Option<&Target> {
        match &self.state {
            State::Submitted { attempt, target, .. } if *attempt == of => Some(target),
            _ => None,
        }
    }

    fn reroute(&mut self, route: Route, now: Duration, actions: &mut Vec<Action>) {
        self.route = route;
        self.resting.retain(|_, until| *until > now);
        if let State::Submitted { target, .. } = &self.state {
            // A newer ready epoch of the same replica fences the old one, whose head may be frozen
            // or cut off and so unable to say so.
            let newer = |t: &Target| t.replica == target.replica && t.epoch > target.epoch;
            if !self.route.targets.iter().any(newer) {
                return;
            }
            self.cancel(actions);
            self.lose(Pause::Fenced, "its epoch is over".into(), now, actions);
        } else {
            self.submit(now, actions);
        }
    }

    fn heard(&mut self, event: GenerateEvent, now: Duration, actions: &mut Vec<Action>) {
        match event {
            GenerateEvent::Accepted => self.accept(Stage::Accepted, now, actions),
            GenerateEvent::Token(token) => {
                if self.complete() {
                    self.cancel(actions);
                    return self.end(Action::Finish(FinishReason::Length), actions);
                }
                self.accept(Stage::Emitting, now, actions);
                (self.failures, self.losses) = (0, 0);
                self.emitted.push(token.token);
                actions.push(Action::Emit(token));
            }
            GenerateEvent::Finished(FinishReason::Cancelled) => {
                self.lose(Pause::Growing, "cancelled by its head".into(), now, actions);
            }
            GenerateEvent::Finished(reason) => self.end(Action::Finish(reason), actions),
            GenerateEvent::Refused(refusal) => self.refused(refusal, now, actions),
        }
    }

    fn accept(&mut self, reached: Stage, now: Duration, actions: &mut Vec<Action>) {
        let State::Submitted { target, stage, since, .. } = &mut self.state else { return };
        if self.form.is_none() {
            self.form = Some(target.form);
            actions.push(Action::Accepted);
        }
        if reached == Stage::Accepted && self.sharing.as_ref() != Some(&target.sharing) {
            if self.sharing.is_some() && !self.emitted.is_empty() {
                actions.push(Action::Reshared);
            }
            self.sharing = Some(target.sharing.clone());
        }
        *stage = reached;
        *since = now;
    }

    fn refused(&mut self, refusal: Refusal, now: Duration, actions: &mut Vec<Action>) {
        let (pause, reason) = match refusal {
            Refusal::QueueFull { waiting } if self.form.is_none() => {
                return self.queue_full(waiting, now, actions);
            }
            // The context is full: what was emitted is the answer.
            Refusal::TooLong { .. } if !self.emitted.is_empty() => {
                return self.end(Action::Finish(FinishReason::Length), actions);
            }
            Refusal::TooLong { tokens, limit } => {
                return self.end(Action::Fail(Failure::TooLong { tokens, limit }), actions);
            }
            Refusal::Invalid { reason } => {
                return self.end(Action::Fail(Failure::Invalid { reason }), actions);
            }
            Refusal::NotYet => (Pause::Growing, "the head has not reached the epoch".into()),
            Refusal::QueueFull { waiting } => (Pause::Growing, format!("{waiting} wait there")),
            Refusal::StaleEpoch => (Pause::Fenced, "its epoch is over".into()),
            Refusal::PipelineLost { reason } => (Pause::Fenced, reason),
            Refusal::ShuttingDown => (Pause::Fenced, "the node is shutting down".into()),
        };
        self.lose(pause, reason, now, actions);
    }

    /// Another replica may have room; with none, the client is told at once rather than kept.
    fn queue_full(&mut self, waiting: u32, now: Duration, actions: &mut Vec<Action>) {
        self.rest(Pause::Fenced, now);
        self.state = State::Waiting;
        if router::choose(&self.route, self.form, &self.resting, now).is_some() {
            self.submit(now, actions);
        } else {
            self.end(Action::Fail(Failure::QueueFull { waiting }), actions);
        }
    }

    /// The submission is over without an end of the sequence: somewhere else, or here again later.
    fn lose(&mut self, pause: Pause, reason: String, now: Duration, actions: &mut Vec<Action>) {
        if self.complete() {
            // Only the word that it is finished was lost.
            return self.end(Action::Finish(FinishReason::Length), actions);
        }
        let owned = matches!(&self.state, State::Submitted { stage, .. } if *stage != Stage::Sent);
        self.rest(pause, now);
        self.state = State::Waiting;
        if owned {
            self.unowned_since = now;
            self.losses += 1;
            if self.losses >= LOSSES_MAX {
                let failure = Failure::Unlucky { losses: self.losses, reason };
                return self.end(Action::Fail(failure), actions);
            }
        }
        self.last_loss = Some(reason);
        self.submit(now, actions);
    }

    fn rest(&mut self, pause: Pause, now: Duration) {
        let State::Submitted { target, .. } = &self.state else { return };
        let length = match pause {
            Pause::Growing => (PAUSE_MIN * (1 << self.failures.min(8))).min(PAUSE_MAX),
            Pause::Fenced => PAUSE_FENCED,
        };
        self.failures += 1;
        self.resting.insert(target.key(), now + length);
    }

    fn submit(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if now >= self.unowned_since + self.patience.plan || self.gone() {
            return self.give_up(now, actions);
        }
        let Some(target) = router::choose(&self.route, self.form, &self.resting, now) else {
            return;
        };
        let target = target.clone();
        self.attempts += 1;
        let attempt = Attempt(self.attempts);
        let request = Box::new(GenerateRequest {
            request_id: self.spec.request_id.clone(),
            prompt: self.spec.prompt.to_vec(),
            emitted: self.emitted.clone(),
            sampling: self.spec.sampling.clone(),
            choice_seed: self.spec.choice_seed,
            tokens_max: self.spec.tokens_max,
            resumed: self.form.is_some(),
        });
        actions.push(Action::Submit { attempt, target: target.clone(), request });
        self.state = State::Submitted { attempt, target, stage: Stage::Sent, since: now };
    }

    fn timer(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.deadline().is_none_or(|at| now < at) {
            return;
        }
        if now >= self.started + self.patience.total {
            self.cancel(actions);
            let waited = now.saturating_sub(self.started);
            return self.end(Action::Fail(Failure::Overdue { waited }), actions);
        }
        let (stage, since) = match &self.state {
            State::Waiting => return self.submit(now, actions),
            State::Submitted { stage, since, .. } => (*stage, *since),
            State::Ended => return,
        };
        self.cancel(actions);
        if stage == Stage::Accepted && self.emitted.is_empty() {
            let waited = now.saturating_sub(since);
            return self.end(Action::Fail(Failure::Overdue { waited }), actions);
        }
        let silent = now.saturating_sub(since).as_secs();
        self.lose(Pause::Growing, format!("the head was silent for {silent} s"), now, actions);
    }

    fn give_up(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let failure = Failure::NoReplica {
            shortage: self.route.shortage.clone(),
            lost: self.last_loss.take(),
            waited: now.saturating_sub(self.unowned_since),
            ran: self.form.is_some(),
        };
        self.end(Action::Fail(failure), actions);
    }

    fn gone(&self) -> bool {
        let shortage = self.route.shortage.as_ref();
        self.route.targets.is_empty() && shortage.is_some_and(|s| s.kind == ShortageKind::Gone)
    }

    fn complete(&self) -> bool {
        self.emitted.len() >= self.spec.tokens_max as usize
    }

    fn cancel(&self, actions: &mut Vec<Action>) {
        if let State::Submitted { attempt, .. } = &self.state {
            actions.push(Action::Cancel { attempt: *attempt });
        }
    }

    fn end(&mut self, last: Action, actions: &mut Vec<Action>) {
        self.state = State::Ended;
        actions.push(last);
    }
}

/// How soon the same (replica, epoch) may be asked again.
#[derive(Clone, Copy)]
enum Pause {
    /// The fault may pass by itself: soon, then less and less often.
    Growing,
    /// Only a newer epoch is expected to help.
    Fenced,
}

#[cfg(test)]
#[path = "tests/request.rs"]
mod tests;
