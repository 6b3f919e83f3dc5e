//! openraft's runtime in a build for tests: Tokio's, or the simulation's where there is one.

use std::convert::Infallible;
use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use openraft::{AsyncRuntime, OptionalSend, TokioRuntime};
use rand_core::TryRng;
use tokio::sync::oneshot;

use super::world::{Future, ask};

type Tokio = TokioRuntime;

#[derive(Debug)]
pub(crate) struct Runtime;

impl AsyncRuntime for Runtime {
    type JoinError = Ended;
    type JoinHandle<T: OptionalSend + 'static> = Joined<T>;
    type Sleep = Future<()>;
    type Instant = Moment;
    type TimeoutError = Late;
    type Timeout<R, T: std::future::Future<Output = R> + OptionalSend> = Limited<T>;
    type ThreadLocalRng = Draws;

    fn spawn<T>(future: T) -> Joined<T::Output>
    where
        T: std::future::Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        let (sender, ended) = oneshot::channel();
        let task: Future<()> = Box::pin(async move { drop(sender.send(future.await)) });
        let mut task = Some(task);
        ask(|world| task.take().map(|task| world.spawn(task)));
        if let Some(task) = task {
            tokio::spawn(task);
        }
        Joined(ended)
    }

    fn sleep(duration: Duration) -> Future<()> {
        ask(|world| world.sleep(duration)).unwrap_or_else(|| Box::pin(tokio::time::sleep(duration)))
    }

    fn sleep_until(deadline: Moment) -> Future<()> {
        Self::sleep(deadline.0.saturating_sub(<Moment as openraft::Instant>::now().0))
    }

    fn timeout<R, F: std::future::Future<Output = R> + OptionalSend>(
        limit: Duration,
        work: F,
    ) -> Limited<F> {
        Limited { work: Box::pin(work), limit: Self::sleep(limit) }
    }

    fn timeout_at<R, F: std::future::Future<Output = R> + OptionalSend>(
        deadline: Moment,
        work: F,
    ) -> Limited<F> {
        Limited { work: Box::pin(work), limit: Self::sleep_until(deadline) }
    }

    fn is_panic(_: &Ended) -> bool {
        true
    }

    fn thread_rng() -> Draws {
        Draws
    }

    type Mpsc = <Tokio as AsyncRuntime>::Mpsc;
    type Watch = <Tokio as AsyncRuntime>::Watch;
    type Oneshot = <Tokio as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::Mutex<T>;

    fn new(_: usize) -> Self {
        Self
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: std::future::Future<Output = T>,
    {
        Tokio::new(1).block_on(future)
    }
}

/// A task that panicked, or died with its coordinator.
#[derive(Debug)]
pub(crate) struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task panicked")
    }
}

pub(crate) struct Joined<T>(oneshot::Receiver<T>);

impl<T> std::future::Future for Joined<T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(|_| Ended)
    }
}

/// Time since the simulation, or the process, began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

static BEGAN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

impl openraft::Instant for Moment {
    fn now() -> Self {
        Self(ask(|world| world.now()).unwrap_or_else(|| BEGAN.elapsed()))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, duration: Duration) {
        self.0 += duration;
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl SubAssign<Duration> for Moment {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

#[derive(Debug)]
pub(crate) struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

pub(crate) struct Limited<F> {
    work: Pin<Box<F>>,
    limit: Future<()>,
}

impl<R, F: std::future::Future<Output = R>> std::future::Future for Limited<F> {
    type Output = Result<R, Late>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(done) = self.work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        self.limit.as_mut().poll(context).map(|()| Err(Late))
    }
}

/// Election timeouts and the like.
pub(crate) struct Draws;

impl TryRng for Draws {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|draw| (draw >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(ask(|world| world.draw()).unwrap_or_else(rand::random))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let draw = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&draw[..chunk.len()]);
        }
        Ok(())
    }
}
