//! Keeps this coordinator in the group: where its log cannot be written it takes no part, says so,
//! and starts anew once that is over. Streams through its gateway go on meanwhile.

use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal;

use super::node::Consensus;
use super::room::{self, RESERVE_BYTES, Shortage};
use crate::host::{self, Instant};

const POLL: Duration = Duration::from_millis(100);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A part that fails so soon after its start, so often, fails for a reason that stays.
const SOON: Duration = Duration::from_secs(5);
const FAILURES_MAX: u32 = 2;

/// Why this coordinator takes no part in the group.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub(crate) reason: String,
    pub(crate) since: Instant,
}

impl Consensus {
    /// Ends where starting anew does not help, with the reason: an entry of a newer version, say.
    pub(crate) async fn keep_running(&self) -> String {
        let (mut started, mut failures) = (None::<Instant>, 0);
        loop {
            host::sleep(POLL).await;
            let Err(fatal) = self.raft().metrics().borrow_watched().running_state.clone() else {
                continue;
            };
            if matches!(fatal, Fatal::Stopped) {
                return "it was stopped".to_owned();
            }
            failures = match started {
                Some(at) if at.elapsed() < SOON => failures + 1,
                _ => 0,
            };
            if failures == FAILURES_MAX {
                return fatal.to_string();
            }
            let reason = format!("its log failed: {fatal}");
            tracing::error!(reason, "this coordinator takes no part in the group");
            self.set_outage(Some(Outage { reason, since: Instant::now() }));
            // Its files are free for the next start only once it has ended.
            let _ = self.raft().shutdown().await;
            self.start_again().await;
            tracing::info!("this coordinator takes part in the group again");
            self.set_outage(None);
            started = Some(Instant::now());
        }
    }

    async fn start_again(&self) {
        let mut pause = PAUSE_MIN;
        loop {
            host::sleep(pause).await;
            if let Some(shortage) = self.shortage(RESERVE_BYTES) {
                self.note_outage(format!("its log has no room: {shortage}"));
                continue;
            }
            match self.restart().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(%error, "this coordinator still takes no part in the group");
                    self.note_outage(error.to_string());
                    pause = PAUSE_MAX.min(2 * pause);
                }
            }
        }
    }

    /// Whether less than `reserve_bytes` is free where the log lies.
    pub(crate) fn shortage(&self, reserve_bytes: u64) -> Option<Shortage> {
        room::shortage(self.data_dir()?, &self.own_name(), reserve_bytes)
    }

    /// What is wrong with this coordinator's part, as sentences.
    pub(crate) fn problems(&self) -> Vec<String> {
        let outage = self.outage().map(|outage| {
            let (seconds, reason) = (outage.since.elapsed().as_secs(), outage.reason);
            format!("takes no part in the group for {seconds} s: {reason}")
        });
        let shortage =
            self.shortage(RESERVE_BYTES).map(|shortage| format!("disk full: {shortage}"));
        outage.into_iter().chain(shortage).collect()
    }

    /// The same outage, for another reason.
    fn note_outage(&self, reason: String) {
        let since = self.outage().map_or_else(Instant::now, |outage| outage.since);
        self.set_outage(Some(Outage { reason, since }));
    }
}
