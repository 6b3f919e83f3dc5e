//! Tells how the coordinator stands, and by that that it makes progress.

use std::sync::Arc;
use std::time::Duration;

use protocol::admin::NodeState;
use tokio::sync::watch;

use crate::raft::Consensus;
use crate::reconcile::LiveView;

const PAUSE: Duration = Duration::from_secs(1);

/// One line after each lap: the reconciler's loop gave a new view, and Raft's task has answered.
/// Ends when the loop does.
pub(crate) async fn beat(
    consensus: Arc<Consensus>,
    mut view: watch::Receiver<Arc<LiveView>>,
    line: watch::Sender<String>,
) {
    while view.changed().await.is_ok() {
        if consensus.turns().await {
            let seen = Arc::clone(&view.borrow_and_update());
            line.send_replace(standing(&consensus, &seen));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn standing(consensus: &Consensus, view: &LiveView) -> String {
    let (raft, state) = (consensus.status(), consensus.state());
    let part = match (raft.is_leader, raft.has_quorum) {
        (true, true) => "leader",
        (false, true) => "follower",
        (_, false) => "NO QUORUM, changes are refused",
    };
    let ready = view.nodes.values().filter(|n| n.state == NodeState::Ready).count();
    let (voters, workers) = (raft.voters.len(), state.workers().count());
    let deployments = state.deployments.len();
    format!(
        "{part} ({voters} voters), {ready} of {workers} workers ready, {deployments} deployments"
    )
}
