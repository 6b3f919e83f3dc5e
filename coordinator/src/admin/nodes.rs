//! The members: listed with their live state, and removed for good.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use protocol::admin::{List, NodeView, OperationView};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asker::Asker;
use super::error::{AdminError, Failures};
use super::{Admin, operations, views};
use crate::state::{Change, Refusal};

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, remove))
}

/// All nodes with their live state.
#[utoipa::path(
    get, path = "/admin/v1/nodes", tag = "nodes",
    responses((status = 200, description = "As it stands.", body = List<NodeView>), Failures),
)]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<List<NodeView>> {
    let state = admin.state();
    let mut items: Vec<_> =
        state.members.iter().map(|(id, member)| views::node(&admin, &state, *id, member)).collect();
    items.sort_by(|a, b| a.name.cmp(&b.name));
    Json(views::list("NodeList", items))
}

/// One node.
#[utoipa::path(
    get, path = "/admin/v1/nodes/{node}", tag = "nodes",
    params(("node" = String, Path, description = "Its name or id.")),
    responses((status = 200, description = "As it stands.", body = NodeView), Failures),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<NodeView>, AdminError> {
    let state = admin.state();
    let (id, member) = state.find_member(&name).ok_or_else(|| Refusal::no_node(&name))?;
    Ok(Json(views::node(&admin, &state, id, member)))
}

/// Remove a node for good.
#[utoipa::path(
    delete, path = "/admin/v1/nodes/{node}", tag = "nodes",
    params(("node" = String, Path, description = "Its name or id.")),
    responses(
        (status = 200, description = "Accepted; follow the operation.", body = OperationView),
        Failures,
    ),
)]
pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<Json<OperationView>, AdminError> {
    let state = admin.state();
    let (node, _) = state.find_member(&name).ok_or_else(|| Refusal::no_node(&name))?;
    let operation = asker.operation();
    admin.propose(&asker, Change::RemoveNode { node, operation: operation.clone() }).await?;
    operations::view(&admin, &operation).map(Json)
}
