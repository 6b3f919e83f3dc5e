//! Drives one choice: carries out what its life asks for, and turns tokens into text.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::generate::FinishReason;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};

use super::answer_text::{AnswerText, Piece};
use super::directory::Directory;
use super::metrics::TokenClock;
use super::request::{Action, Event, Failure, RequestLife};
use super::submission::Submission;

/// What a choice says to the request that it belongs to.
#[derive(Debug)]
pub(super) enum ChoiceEvent {
    Accepted,
    /// After `tokens` of the answer it goes on in other tensor-parallel shares.
    Reshared {
        tokens: u32,
    },
    /// `tokens` of the answer so far.
    Piece {
        piece: Piece,
        tokens: u32,
    },
    /// The last event, or
    Finished {
        reason: FinishReason,
        tokens: u32,
    },
    /// this is.
    Failed(Failure),
}

pub(super) struct ChoiceDriver {
    pub(super) index: u32,
    pub(super) model: String,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) life: RequestLife,
    pub(super) text: AnswerText,
    pub(super) out: mpsc::Sender<(u32, ChoiceEvent)>,
    /// Zero of the life's clock.
    pub(super) origin: Instant,
    pub(super) client_stall: Duration,
    pub(super) clock: TokenClock,
}

impl ChoiceDriver {
    pub(super) async fn run(mut self) {
        let mut changes = self.directory.changes();
        changes.mark_unchanged();
        let mut submission = None;
        let mut events = VecDeque::from([Event::Route(self.directory.route(&self.model))]);
        while !self.life.ended() {
            let event = match events.pop_front() {
                Some(event) => event,
                None => self.next_event(&mut submission, &mut changes).await,
            };
            for action in self.life.step(event, self.origin.elapsed()) {
                events.extend(self.perform(action, &mut submission).await);
            }
        }
    }

    async fn next_event(
        &mut self,
        submission: &mut Option<Submission>,
        changes: &mut watch::Receiver<u64>,
    ) -> Event {
        let deadline = self.life.deadline().unwrap_or_default();
        let said = async {
            match submission {
                Some(submission) => submission.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.out.closed() => Event::ClientGone,
            Some(event) = said => event,
            Ok(()) = changes.changed() => Event::Route(self.directory.route(&self.model)),
            () = sleep_until((self.origin + deadline).into()) => Event::Timer,
        }
    }

    /// Does what is asked; what that leads to is the next event.
    async fn perform(
        &mut self,
        action: Action,
        submission: &mut Option<Submission>,
    ) -> Option<Event> {
        match action {
            Action::Submit { attempt, target, request } => {
                let directory = self.directory.clone();
                *submission = Some(Submission::start(directory, attempt, target, request));
                None
            }
            Action::Cancel { .. } => {
                *submission = None;
                None
            }
            Action::Accepted => self.say(ChoiceEvent::Accepted).await,
            Action::Reshared => self.say(ChoiceEvent::Reshared { tokens: self.tokens() }).await,
            Action::Emit(token) => {
                self.clock.token();
                let (piece, stopped) = self.text.push(&token);
                let gone = self.show(piece).await;
                gone.or_else(|| stopped.then_some(Event::StopString))
            }
            Action::Finish(reason) => {
                let rest = self.text.finish();
                if self.show(rest).await.is_some() {
                    return None;
                }
                self.say(ChoiceEvent::Finished { reason, tokens: self.tokens() }).await
            }
            Action::Fail(failure) => self.say(ChoiceEvent::Failed(failure)).await,
        }
    }

    async fn show(&mut self, piece: Piece) -> Option<Event> {
        if piece.text.is_empty() && piece.lines.is_empty() {
            return None;
        }
        self.say(ChoiceEvent::Piece { piece, tokens: self.tokens() }).await
    }

    /// A client that takes nothing for too long is as good as gone.
    async fn say(&mut self, event: ChoiceEvent) -> Option<Event> {
        let sent = timeout(self.client_stall, self.out.send((self.index, event))).await;
        if matches!(sent, Ok(Ok(()))) { None } else { Some(Event::ClientGone) }
    }

    fn tokens(&self) -> u32 {
        self.life.emitted().len() as u32
    }
}
