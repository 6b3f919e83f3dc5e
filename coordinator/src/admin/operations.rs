//! Long operations as they stand.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use protocol::admin::{List, OperationState, OperationView};
use protocol::shard::ShardState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asker::Asker;
use super::error::{AdminError, Failures};
use super::{Admin, views};
use crate::reconcile::LiveView;
use crate::state::{Change, Operation, OperationChange, OperationKind, State as Replicated};

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(cancel))
}

/// Those that run first, then the last ones that ended.
#[utoipa::path(
    get, path = "/admin/v1/operations", tag = "operations",
    responses((status = 200, description = "As they stand.", body = List<OperationView>), Failures),
)]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<List<OperationView>> {
    let state = admin.state();
    let mut ids: Vec<_> = state.operations.iter().collect();
    let running = |o: &Operation| o.state == OperationState::Running;
    ids.sort_by_key(|(_, o)| (!running(o), Reverse(o.updated_at)));
    let items = ids.into_iter().filter_map(|(id, _)| view(&admin, id).ok()).collect();
    Json(views::list("OperationList", items))
}

/// End a running operation, and take back what it was about where that can be.
#[utoipa::path(
    post, path = "/admin/v1/operations/{id}/cancel", tag = "operations",
    params(("id" = String, Path, description = "What the request that started it answered.")),
    responses((status = 200, description = "As it ended.", body = OperationView), Failures),
)]
pub(super) async fn cancel(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    asker: Asker,
) -> Result<Json<OperationView>, AdminError> {
    admin.propose(&asker, Change::Operation(OperationChange::Cancel { id: id.clone() })).await?;
    view(&admin, &id).map(Json)
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
        let message = format!("there is no operation `{id}`");
        return Err(AdminError::not_found(message).hint("trireme op ls"));
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
        deadline: operation.started_at.plus_seconds(operation.limit_seconds).to_string(),
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
