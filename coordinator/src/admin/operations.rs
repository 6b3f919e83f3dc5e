//! Long operations as they stand.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use protocol::admin::{OperationState, OperationView};
use protocol::shard::ShardState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::error::{AdminError, Failures};
use crate::reconcile::LiveView;
use crate::state::{OperationKind, State as Replicated};

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// A long operation as it stands.
#[utoipa::path(
    get, path = "/admin/v1/operations/{id}", tag = "operations",
    params(("id" = String, Path, description = "What the request that started it answered.")),
    responses((status = 200, description = "As it stands.", body = OperationView), Failures),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<OperationView>, AdminError> {
    view(&admin, &id).map(Json)
}

pub(super) fn view(admin: &Admin, id: &str) -> Result<OperationView, AdminError> {
    let state = admin.state();
    let Some(operation) = state.operations.get(id) else {
        return Err(AdminError::not_found(format!("there is no operation `{id}`")));
    };
    let mut view = OperationView {
        id: id.to_owned(),
        kind: operation.kind.name().to_owned(),
        subject: operation.subject.clone(),
        state: operation.state,
        note: operation.note.clone(),
        done: operation.done,
        total: operation.total,
        started_at: operation.started_at.to_string(),
        result: operation.result.clone(),
    };
    let deploys = operation.kind == OperationKind::Deploy;
    if deploys && operation.state == OperationState::Running {
        show_rollout(&state, &admin.live(), &mut view);
    }
    Ok(view)
}

/// The progress of a rollout is soft: it is what the workers say now.
fn show_rollout(state: &Replicated, live: &LiveView, view: &mut OperationView) {
    let Some(deployment) = state.deployments.get(&view.subject) else { return };
    view.note = deployment.rollout.reason.clone();
    let Some(placement) = &deployment.placement else { return };
    let (mut fetching, mut loading) = (0, 0);
    for node in placement.plan.nodes() {
        let shards = live.nodes.get(&node).map(|n| n.shards.as_slice()).unwrap_or_default();
        let same =
            shards.iter().find(|s| s.replica == deployment.replica && s.epoch == placement.epoch);
        match same.map(|s| &s.state) {
            Some(ShardState::Fetching { done_bytes, total_bytes }) => {
                fetching += 1;
                view.done += done_bytes;
                view.total += total_bytes;
            }
            Some(ShardState::Loading { done_bytes, total_bytes }) => {
                loading += 1;
                view.done += done_bytes;
                view.total += total_bytes;
            }
            _ => {}
        }
    }
    if fetching > 0 {
        view.note = format!("{fetching} nodes fetch weights");
    } else if loading > 0 {
        view.note = format!("{loading} nodes load weights");
    }
}
