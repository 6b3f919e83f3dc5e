//! A leader that leaves hands the group over, so that nobody has to wait for an election timeout.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, ServerState};

use super::node::Consensus;
use super::type_config::VoterId;

/// The others elect by themselves after this.
const LIMIT: Duration = Duration::from_secs(1);

impl Consensus {
    /// Gives the leadership, if it is here, to the voter that is furthest; waits a second at most.
    pub(crate) async fn hand_over(&self) {
        let raft = self.raft();
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched().clone();
        if metrics.state != ServerState::Leader || metrics.running_state.is_err() {
            return;
        }
        let (Some(progress), Some(heard)) = (&metrics.replication, &metrics.heartbeat) else {
            return;
        };
        let answers = |id: VoterId| {
            let at = heard.get(&id).and_then(Option::as_ref);
            at.is_some_and(|at| at.elapsed() < self.patience())
        };
        let voters = metrics.membership_config.membership().voter_ids();
        let others = voters.filter(|id| id.0 != self.own() && answers(*id));
        let furthest = others.max_by_key(|id| progress.get(id).copied().flatten());
        let Some(to) = furthest else { return };
        tracing::info!(%to, "handing the leadership over");
        if raft.trigger().transfer_leader(to).await.is_err() {
            return;
        }
        let waiting = raft.wait(Some(LIMIT));
        let led = waiting.metrics(
            |m| m.current_leader.is_some_and(|leader| leader.0 != self.own()),
            "another leader",
        );
        if led.await.is_err() {
            tracing::warn!("nobody took the leadership yet");
        }
    }
}
