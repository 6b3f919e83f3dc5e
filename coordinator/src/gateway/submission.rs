//! One stream to a head: opens it, submits, passes on what the head says, cancels when dropped.

use std::sync::Arc;
use std::time::Duration;

use protocol::frame::{Frame, FrameKind};
use protocol::generate::{GenerateEvent, GenerateRequest};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::directory::{Directory, FramePipe, StreamLost};
use super::request::{Attempt, Event};
use super::router::Target;

/// Frames that may wait between a head's stream and its request.
const EVENTS_MAX: usize = 64;
/// For opening a stream, and for each frame sent on it.
const SEND_WAIT: Duration = Duration::from_secs(5);

/// A running submission; dropping it tells the head to give the sequence up.
pub(super) struct Submission {
    events: mpsc::Receiver<Event>,
    _keep: oneshot::Sender<()>,
}

impl Submission {
    pub(super) fn start(
        directory: Arc<dyn Directory>,
        attempt: Attempt,
        target: Target,
        request: Box<GenerateRequest>,
    ) -> Self {
        let (events, received) = mpsc::channel(EVENTS_MAX);
        let (keep, dropped) = oneshot::channel();
        let speaker = Speaker { attempt, target, events };
        tokio::spawn(speaker.run(directory, request, dropped));
        Self { events: received, _keep: keep }
    }

    /// The next thing that the head says; the last one is an end, a refusal or a loss.
    pub(super) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

struct Speaker {
    attempt: Attempt,
    target: Target,
    events: mpsc::Sender<Event>,
}

impl Speaker {
    async fn run(
        self,
        directory: Arc<dyn Directory>,
        request: Box<GenerateRequest>,
        mut dropped: oneshot::Receiver<()>,
    ) {
        let opened = tokio::select! {
            opened = self.open(&*directory, *request) => opened,
            _ = &mut dropped => return,
        };
        let mut pipe = match opened {
            Ok(pipe) => pipe,
            Err(lost) => return self.say(self.lost(lost)).await,
        };
        tokio::select! {
            () = self.listen(&mut pipe) => {}
            _ = &mut dropped => self.cancel(&mut pipe).await,
        }
    }

    async fn open(
        &self,
        directory: &dyn Directory,
        request: GenerateRequest,
    ) -> Result<FramePipe, StreamLost> {
        let opening = directory.open_generate(&self.target);
        let mut pipe = within("opening a stream", opening).await?;
        let Target { replica, epoch, .. } = self.target;
        let frame = Frame::new(FrameKind::Generate, replica, epoch, &request);
        let sending = pipe.writer.send(frame.map_err(undecodable)?);
        within("the submission", sending).await?;
        Ok(pipe)
    }

    async fn listen(&self, pipe: &mut FramePipe) {
        loop {
            let event = match pipe.reader.next().await {
                Ok(Some(frame)) => self.event_of(&frame),
                Ok(None) => self.lost(StreamLost("the head closed the stream".into())),
                Err(lost) => self.lost(lost),
            };
            let last = match &event {
                Event::Head { event, .. } => {
                    matches!(event, GenerateEvent::Finished(_) | GenerateEvent::Refused(_))
                }
                _ => true,
            };
            self.say(event).await;
            if last {
                return;
            }
        }
    }

    fn event_of(&self, frame: &Frame) -> Event {
        match frame.open::<GenerateEvent>(FrameKind::GenerateEvent) {
            Ok(event) => {
                let (replica, epoch) = (frame.replica, frame.epoch);
                Event::Head { attempt: self.attempt, replica, epoch, event }
            }
            Err(error) => self.lost(undecodable(error)),
        }
    }

    async fn cancel(&self, pipe: &mut FramePipe) {
        let Target { replica, epoch, .. } = self.target;
        if let Ok(frame) = Frame::new(FrameKind::Cancel, replica, epoch, &()) {
            // If this does not arrive, the end of the stream says the same.
            let _ = timeout(SEND_WAIT, pipe.writer.send(frame)).await;
        }
    }

    fn lost(&self, lost: StreamLost) -> Event {
        Event::Lost { attempt: self.attempt, reason: lost.0 }
    }

    /// Nobody listening any more is the request's business, not ours.
    async fn say(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}

fn undecodable(error: protocol::ProtocolError) -> StreamLost {
    StreamLost(error.to_string())
}

async fn within<T>(
    what: &str,
    work: impl Future<Output = Result<T, StreamLost>>,
) -> Result<T, StreamLost> {
    let late = || StreamLost(format!("{what} took longer than {} s", SEND_WAIT.as_secs()));
    timeout(SEND_WAIT, work).await.unwrap_or_else(|_| Err(late()))
}
