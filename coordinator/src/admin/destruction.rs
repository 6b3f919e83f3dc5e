//! The end of the cluster.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use protocol::admin::{ClusterDestroyed, DestroyCluster};
use protocol::control::Role;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::asker::Asker;
use super::error::{AdminError, Failures, body};
use crate::raft::wall_clock;
use crate::state::Change;

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(destroy))
}

/// End the cluster for good: models, keys and workers are let go, the coordinators stop.
#[utoipa::path(
    post, path = "/admin/v1/cluster/destroy", tag = "cluster", request_body = DestroyCluster,
    responses((status = 200, description = "It is no more.", body = ClusterDestroyed), Failures),
)]
pub(super) async fn destroy(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    bytes: Bytes,
) -> Result<Json<ClusterDestroyed>, AdminError> {
    let DestroyCluster { cluster } = body(&bytes)?;
    admin.propose(&asker, Change::DestroyCluster { cluster }).await?;
    let state = admin.state();
    let coordinators = state.members.values().filter(|m| m.role == Role::Coordinator);
    let mut coordinators: Vec<_> = coordinators.map(|member| member.name.clone()).collect();
    coordinators.sort();
    Ok(Json(ClusterDestroyed {
        cluster: state.cluster.clone(),
        // This copy of the state may be a moment behind.
        at: state.destroyed.unwrap_or_else(wall_clock).to_string(),
        coordinators,
    }))
}
