//! Figures of the control plane for `/metrics`.

use std::sync::OnceLock;

use metrics::gauge;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use protocol::admin::NodeState;
use protocol::shard::ReplicaLoad;

use crate::gateway;
use crate::raft::ConsensusStatus;
use crate::reconcile::LiveView;

/// Installs the process's one recorder, at the first call, and yields what renders `/metrics`;
/// `None` where another recorder is installed already.
pub(crate) fn install() -> Option<PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder = gateway::metrics::configure(PrometheusBuilder::new()).ok()?;
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            metrics::set_global_recorder(recorder).ok()?;
            gateway::metrics::describe();
            Some(handle)
        })
        .clone()
}

pub(crate) fn raft(status: &ConsensusStatus) {
    gauge!("trireme_raft_term").set(status.term as f64);
    gauge!("trireme_raft_commit_index").set(status.commit_index as f64);
    gauge!("trireme_raft_is_leader").set(f64::from(u8::from(status.is_leader)));
    gauge!("trireme_raft_has_quorum").set(f64::from(u8::from(status.has_quorum)));
    gauge!("trireme_raft_voters").set(status.voters.len() as f64);
}

pub(crate) fn nodes(view: &LiveView) {
    for (name, state) in
        [("joining", NodeState::Joining), ("ready", NodeState::Ready), ("lost", NodeState::Lost)]
    {
        let count = view.nodes.values().filter(|n| n.state == state).count();
        gauge!("trireme_nodes", "state" => name).set(count as f64);
    }
    // As the heads last reported: what no sequence holds, of what there is.
    let loads = || view.nodes.values().flat_map(|n| &n.loads);
    let sum = |part: fn(&ReplicaLoad) -> u32| loads().map(part).map(f64::from).sum::<f64>();
    gauge!("trireme_kv_blocks_free").set(sum(|load| load.blocks_free));
    gauge!("trireme_kv_blocks_total").set(sum(|load| load.blocks_total));
}
