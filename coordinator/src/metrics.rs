//! Figures of the control plane for `/metrics`.

use metrics::gauge;
use protocol::admin::NodeState;

use crate::raft::ConsensusStatus;
use crate::reconcile::LiveView;

pub(crate) fn raft(status: &ConsensusStatus) {
    gauge!("trireme_raft_term").set(status.term as f64);
    gauge!("trireme_raft_commit_index").set(status.commit_index as f64);
    gauge!("trireme_raft_is_leader").set(f64::from(u8::from(status.is_leader)));
    gauge!("trireme_raft_has_quorum").set(f64::from(u8::from(status.has_quorum)));
    gauge!("trireme_raft_voters").set(status.voters.len() as f64);
}

pub(crate) fn nodes(view: &LiveView) {
    for (name, state) in [
        ("joining", NodeState::Joining),
        ("ready", NodeState::Ready),
        ("lost", NodeState::Lost),
    ] {
        let count = view.nodes.values().filter(|n| n.state == state).count();
        gauge!("trireme_nodes", "state" => name).set(count as f64);
    }
}
