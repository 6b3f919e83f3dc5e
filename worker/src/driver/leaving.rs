//! Told to stop: the coordinators hear of it and plan without this node while it goes on serving.

use std::time::Instant;

use tokio::sync::watch;

use super::Driver;
use crate::start::Stopping;

pub(super) struct Leaving {
    until: Instant,
    released: bool,
}

impl Driver {
    pub(super) fn leave(&mut self) {
        let patience = self.parts.config.timeouts.leave;
        tracing::info!(
            seconds = patience.as_secs(),
            "told to stop: others take over what runs here"
        );
        self.leaving = Some(Leaving { until: Instant::now() + patience, released: false });
        self.urgent += 1;
    }

    /// The leader says that waiting longer changes nothing.
    pub(super) fn released(&mut self, reason: &str) {
        tracing::info!(reason, "released");
        if let Some(leaving) = &mut self.leaving {
            leaving.released = true;
        }
    }

    /// Where no coordinator is reached, nobody takes over.
    pub(super) fn has_left(&self) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| {
            let late = Instant::now() >= leaving.until;
            leaving.released || late || !self.parts.link.is_attached()
        })
    }
}

/// The next thing it is told; one that is gone cannot be asked any more.
pub(super) async fn told(stopping: &mut watch::Receiver<Stopping>) -> Stopping {
    match stopping.changed().await {
        Ok(()) => *stopping.borrow_and_update(),
        Err(_) => Stopping::Drain,
    }
}

pub(super) async fn told_now(mut stopping: watch::Receiver<Stopping>) {
    if stopping.wait_for(|told| *told == Stopping::Now).await.is_err() {
        std::future::pending().await
    }
}
