//! What the replicated log asks of its host: time, disk work, ids that nobody had before. Tokio and
//! the system give them; a simulation (feature `testing`) takes their place on its own thread.

use std::future::Future;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openraft::{AsyncRuntime, OptionalSend};
use ulid::Ulid;

#[cfg(feature = "testing")]
pub(crate) use crate::testing::Runtime;
#[cfg(not(feature = "testing"))]
pub(crate) use openraft::TokioRuntime as Runtime;

/// Of a clock that never goes back; its methods come with the trait `openraft::Instant`.
pub(crate) type Instant = <Runtime as AsyncRuntime>::Instant;

pub(crate) async fn sleep(duration: Duration) {
    Runtime::sleep(duration).await;
}

/// `None` once `limit` is over.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = T> + OptionalSend,
) -> Option<T> {
    Runtime::timeout(limit, work).await.ok()
}

/// Runs `work`, which waits for the disk, on the threads for that.
pub(crate) async fn at_the_disk<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    #[cfg(feature = "testing")]
    if let Some(delay) = crate::testing::ask(|world| world.disk_delay()) {
        sleep(delay).await;
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Milliseconds since 1970.
pub(crate) fn wall_clock() -> u64 {
    #[cfg(feature = "testing")]
    if let Some(now) = crate::testing::ask(|world| world.wall_clock()) {
        return now;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

pub(crate) fn fresh_id() -> String {
    #[cfg(feature = "testing")]
    if let Some(draw) = crate::testing::ask(|world| u128::from(world.draw())) {
        return Ulid::from_parts(wall_clock(), draw).to_string();
    }
    Ulid::new().to_string()
}
