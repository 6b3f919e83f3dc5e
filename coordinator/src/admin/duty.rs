//! What people ask of nodes: cordon, uncordon, drain, label.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::admin::{
    DrainEffect, DrainMove, DrainNode, LabelNode, NodeState, NodeView, OnNoFit, OperationView,
};
use protocol::control::Role;
use protocol::ids::NodeId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asker::Asker;
use super::error::{AdminError, Failures, body};
use super::{Admin, operations, views};
use crate::reconcile::placement::{self, Move};
use crate::state::{Change, NodeChange, Refusal, Setting};

const TIMEOUT_SECONDS_MAX: u64 = Setting::DrainTimeout.facts().max.as_secs();

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(cordon))
        .routes(routes!(uncordon))
        .routes(routes!(drain_effect, drain))
        .routes(routes!(label))
}

/// Plan nothing new on a worker.
#[utoipa::path(
    post, path = "/admin/v1/nodes/{node}/cordon", tag = "nodes",
    params(("node" = String, Path, description = "Its name or id.")),
    responses((status = 200, description = "As it is then.", body = NodeView), Failures),
)]
pub(super) async fn cordon(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    asker: Asker,
) -> Result<Json<NodeView>, AdminError> {
    change(&admin, &asker, &name, |node| NodeChange::Cordon { node }).await
}

/// Take back a cordon or a drain.
#[utoipa::path(
    post, path = "/admin/v1/nodes/{node}/uncordon", tag = "nodes",
    params(("node" = String, Path, description = "Its name or id.")),
    responses((status = 200, description = "As it is then.", body = NodeView), Failures),
)]
pub(super) async fn uncordon(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    asker: Asker,
) -> Result<Json<NodeView>, AdminError> {
    change(&admin, &asker, &name, |node| NodeChange::Uncordon { node }).await
}

/// Set and remove labels.
#[utoipa::path(
    patch, path = "/admin/v1/nodes/{node}/labels", tag = "nodes", request_body = LabelNode,
    params(("node" = String, Path, description = "Its name or id.")),
    responses((status = 200, description = "As it is then.", body = NodeView), Failures),
)]
pub(super) async fn label(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    asker: Asker,
    bytes: Bytes,
) -> Result<Json<NodeView>, AdminError> {
    let LabelNode { set, remove } = body(&bytes)?;
    change(&admin, &asker, &name, |node| NodeChange::Label { node, set, remove }).await
}

/// What a drain would do now.
#[utoipa::path(
    get, path = "/admin/v1/nodes/{node}/drain", tag = "nodes",
    params(("node" = String, Path, description = "Its name or id.")),
    responses((status = 200, description = "Nothing was changed.", body = DrainEffect), Failures),
)]
pub(super) async fn drain_effect(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<DrainEffect>, AdminError> {
    let (node, name) = worker(&admin, &name)?;
    let moves = moves(&admin, node).iter().map(shown).collect();
    Ok(Json(DrainEffect { node: name, moves }))
}

/// Move what runs on a worker to others, then cordon it.
#[utoipa::path(
    post, path = "/admin/v1/nodes/{node}/drain", tag = "nodes", request_body = DrainNode,
    params(("node" = String, Path, description = "Its name or id.")),
    responses(
        (status = 200, description = "Accepted; follow the operation.", body = OperationView),
        Failures
    ),
)]
pub(super) async fn drain(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    asker: Asker,
    bytes: Bytes,
) -> Result<Json<OperationView>, AdminError> {
    let DrainNode { on_no_fit, timeout_seconds } = body(&bytes)?;
    let set = || admin.state().settings.value(Setting::DrainTimeout).as_secs();
    let timeout_seconds = timeout_seconds.unwrap_or_else(set);
    if !(1..=TIMEOUT_SECONDS_MAX).contains(&timeout_seconds) {
        let message =
            format!("timeoutSeconds is {timeout_seconds}, expected 1 to {TIMEOUT_SECONDS_MAX}");
        return Err(AdminError::invalid(message));
    }
    let (node, name) = worker(&admin, &name)?;
    let moves = moves(&admin, node);
    let missing = moves.iter().find_map(|m| m.planned.as_ref().err().map(|e| (&m.model, e)));
    if let Some((model, error)) = missing.filter(|_| on_no_fit == OnNoFit::Abort) {
        let message = format!("no plan keeps {model} without {name}: {error}");
        let hint = format!(
            "add a node, undeploy a model, or stop what fits nowhere: trireme node drain {name} \
             --on-no-fit stop"
        );
        return Err(AdminError::new(StatusCode::CONFLICT, "does_not_fit", message).hint(hint));
    }
    let operation = asker.operation();
    let id = operation.clone();
    let drain = NodeChange::Drain { node, operation: id, timeout_seconds, on_no_fit };
    admin.propose(&asker, Change::Node(drain)).await?;
    operations::view(&admin, &operation).map(Json)
}

async fn change(
    admin: &Admin,
    asker: &Asker,
    name: &str,
    change: impl FnOnce(NodeId) -> NodeChange,
) -> Result<Json<NodeView>, AdminError> {
    let (node, _) = member(admin, name)?;
    admin.propose(asker, Change::Node(change(node))).await?;
    let state = admin.state();
    let member = state.members.get(&node).ok_or_else(|| Refusal::no_node(name))?;
    Ok(Json(views::node(admin, &state, node, member)))
}

fn member(admin: &Admin, name: &str) -> Result<(NodeId, String), AdminError> {
    let state = admin.state();
    let (node, member) = state.find_member(name).ok_or_else(|| Refusal::no_node(name))?;
    Ok((node, member.name.clone()))
}

fn worker(admin: &Admin, name: &str) -> Result<(NodeId, String), AdminError> {
    let (node, name) = member(admin, name)?;
    let state = admin.state();
    if state.members.get(&node).is_some_and(|m| m.role != Role::Worker) {
        let message = format!("`{name}` is a coordinator: no model runs on it");
        return Err(AdminError::invalid(message).hint("name a worker: trireme node ls"));
    }
    Ok((node, name))
}

/// What would move off the node now, as this coordinator sees the others.
fn moves(admin: &Admin, node: NodeId) -> Vec<Move> {
    let (state, live) = (admin.state(), admin.live());
    let usable = |other: NodeId, held: bool| {
        live.nodes.get(&other).is_some_and(|n| {
            n.usable || (held && matches!(n.state, NodeState::Ready | NodeState::Cordoned))
        })
    };
    placement::without_node(&state, node, &usable)
}

fn shown(moved: &Move) -> DrainMove {
    let (model, layers) = (moved.model.clone(), moved.layers);
    match &moved.planned {
        Ok(planned) => {
            let summary = views::plan(&model, planned).summary;
            DrainMove { model, layers, fits: true, summary, missing_bytes: 0 }
        }
        Err(error) => {
            let missing_bytes = placement::missing_bytes(error);
            DrainMove { model, layers, fits: false, summary: error.to_string(), missing_bytes }
        }
    }
}
