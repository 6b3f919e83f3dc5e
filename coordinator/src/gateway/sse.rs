//! Server-sent events: frames, keep-alive comments, and the writer of one stream.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::admission::Admitted;
use super::answer::{Shape, Totals};
use super::choice::ChoiceEvent;
use super::error::ApiError;
use super::generation::Generation;
use super::metrics::RequestMeter;

/// Frames that may wait for the connection.
const FRAMES_MAX: usize = 32;
const DONE: &[u8] = b"data: [DONE]\n\n";
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Answers with the stream of a generation whose choices are all accepted.
pub(super) fn respond<S: Shape>(
    generation: Generation,
    shape: S,
    meter: RequestMeter,
    admitted: Admitted,
    keep_alive: Duration,
) -> Response {
    let (frames, received) = mpsc::channel(FRAMES_MAX);
    let totals = Totals::new(generation.choices());
    let writer = StreamWriter { frames, generation, shape, meter, totals, keep_alive };
    tokio::spawn(async move {
        writer.run().await;
        drop(admitted);
    });
    let body = ReceiverStream::new(received).map(Ok::<_, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

struct StreamWriter<S> {
    frames: mpsc::Sender<Bytes>,
    generation: Generation,
    shape: S,
    meter: RequestMeter,
    totals: Totals,
    keep_alive: Duration,
}

/// The connection is gone: nobody reads any more.
struct Gone;

impl<S: Shape> StreamWriter<S> {
    /// Ends when the answer does, or at once when the client goes; the meter then says so itself.
    async fn run(mut self) {
        let opening = self.shape.opening();
        if self.send_all(opening).await.is_err() {
            return;
        }
        loop {
            let waiting = timeout(self.keep_alive, self.generation.next());
            let event = tokio::select! {
                () = self.frames.closed() => return,
                event = waiting => event,
            };
            let sent = match event {
                Err(_) => self.send(Bytes::from_static(KEEP_ALIVE)).await,
                Ok(None) => return self.finish().await,
                Ok(Some((_, ChoiceEvent::Failed(failure)))) => {
                    return self.fail(ApiError::from_failure(failure)).await;
                }
                Ok(Some((index, event))) => self.pass(index, event).await,
            };
            if sent.is_err() {
                return;
            }
        }
    }

    async fn pass(&mut self, index: u32, event: ChoiceEvent) -> Result<(), Gone> {
        self.totals.note(index, &event);
        self.meter.completion_tokens = self.totals.completion_tokens();
        let mut chunk = match event {
            ChoiceEvent::Piece { piece, .. } => self.shape.piece(index, piece, &self.totals),
            ChoiceEvent::Finished { reason, .. } => self.shape.last(index, reason, &self.totals),
            ChoiceEvent::Accepted | ChoiceEvent::Reshared { .. } | ChoiceEvent::Failed(_) => {
                return Ok(());
            }
        };
        self.totals.mark(&mut chunk);
        self.send(frame(&chunk)).await
    }

    async fn finish(mut self) {
        let mut usage = self.shape.usage(&self.totals);
        usage.iter_mut().for_each(|chunk| self.totals.mark(chunk));
        if self.send_all(usage).await.is_ok() && self.send(Bytes::from_static(DONE)).await.is_ok() {
            self.meter.finished(self.totals.finish());
        }
    }

    /// No `[DONE]` follows: a client must not take a broken answer for a whole one.
    async fn fail(mut self, error: ApiError) {
        self.meter.broken(error.status.as_u16());
        let _ = self.send(frame(&error.body())).await;
    }

    async fn send_all(&mut self, chunks: Vec<Value>) -> Result<(), Gone> {
        for chunk in chunks {
            self.send(frame(&chunk)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), Gone> {
        self.frames.send(bytes).await.map_err(|_| Gone)
    }
}

fn frame(chunk: &Value) -> Bytes {
    Bytes::from(format!("data: {chunk}\n\n"))
}
