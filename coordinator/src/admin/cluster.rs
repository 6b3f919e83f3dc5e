//! The cluster as a whole.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use protocol::admin::{ClusterStatus, NodeState};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Failures;
use super::{Admin, views};

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(status))
}

/// How the cluster is: leader, quorum, nodes, deployments.
#[utoipa::path(
    get, path = "/admin/v1/cluster", tag = "cluster",
    responses((status = 200, description = "As it stands.", body = ClusterStatus), Failures),
)]
pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Json<ClusterStatus> {
    let (state, live, raft) = (admin.state(), admin.live(), admin.consensus.status());
    let ready = live.nodes.values().filter(|n| n.state == NodeState::Ready).count();
    let deployments = state.deployments.iter();
    let destroyed = state.destroyed.map(|at| format!("the cluster was destroyed at {at}"));
    Json(ClusterStatus {
        name: state.cluster.clone(),
        this_node: admin.consensus.own(),
        leader: raft.leader,
        term: raft.term,
        commit_index: raft.commit_index,
        has_quorum: raft.has_quorum,
        coordinators: state.coordinators(),
        nodes: state.workers().count() as u32,
        nodes_ready: ready as u32,
        applied_index: admin.consensus.freshness().applied_index,
        problems: admin.consensus.problems().into_iter().chain(destroyed).collect(),
        deployments: deployments
            .map(|(name, d)| views::deployment(&state, &live, name, d))
            .collect(),
    })
}
