//! A link over a QUIC stream: the rank's thread reads and writes the stream's buffers itself, the
//! connection's task moves the datagrams.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use engine::collective::{Inbox, Link, LinkLost, Outbox};
use quinn::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub struct QuicLink {
    send: SendStream,
    receive: RecvStream,
    alarm: Arc<Alarm>,
    waker: Waker,
}

/// Rung by the connection's task when bytes have come, or may go again. The stream is not looked
/// at before: a look takes the connection's lock, which its task needs to move them.
struct Alarm {
    rung: AtomicBool,
    waiting: Mutex<Option<Thread>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = &*waiting {
            thread.unpark();
        }
    }
}

impl QuicLink {
    pub fn new(send: SendStream, receive: RecvStream) -> Self {
        let alarm = Arc::new(Alarm { rung: AtomicBool::new(true), waiting: Mutex::new(None) });
        let waker = Waker::from(Arc::clone(&alarm));
        Self { send, receive, alarm, waker }
    }

    fn send(&mut self, out: &mut Outbox) -> io::Result<()> {
        let mut context = Context::from_waker(&self.waker);
        while !out.is_empty() {
            match AsyncWrite::poll_write(Pin::new(&mut self.send), &mut context, out.rest()) {
                Poll::Ready(count) => out.took(count?),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        let mut context = Context::from_waker(&self.waker);
        loop {
            let mut room = ReadBuf::new(inbox.room());
            if room.capacity() == 0 {
                // The rest is looked for when there is room again.
                self.alarm.rung.store(true, Ordering::SeqCst);
                return Ok(());
            }
            let read = Pin::new(&mut self.receive).poll_read(&mut context, &mut room);
            let count = room.filled().len();
            inbox.wrote(count);
            match read {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) if count == 0 => {
                    return Err(io::Error::other("closed by the peer"));
                }
                Poll::Ready(result) => result?,
            }
        }
    }
}

impl Link for QuicLink {
    fn exchange(&mut self, out: &mut Outbox, inbox: &mut Inbox) -> Result<(), LinkLost> {
        let lost = |error: io::Error| LinkLost(error.to_string());
        let rung = self.alarm.rung.swap(false, Ordering::SeqCst);
        self.send(out).map_err(lost)?;
        if rung { self.receive(inbox).map_err(lost) } else { Ok(()) }
    }

    fn wait(&mut self, time: Duration, _sending: bool) {
        let current = std::thread::current();
        let mut waiting = self.alarm.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.as_ref().is_none_or(|thread| thread.id() != current.id()) {
            *waiting = Some(current);
        }
        drop(waiting);
        if !self.alarm.rung.load(Ordering::SeqCst) {
            std::thread::park_timeout(time);
        }
    }
}
