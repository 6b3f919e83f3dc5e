//! The models: listed, and imported by a worker from a path of its own machine.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::admin::{ImportModel, List, ModelView, OperationView};
use protocol::control::{CoordinatorMessage, Role};
use protocol::ids::NodeId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asker::Asker;
use super::error::{AdminError, Failures, body};
use super::{Admin, operations, views};
use crate::state::{Change, OperationKind, Refusal, State as Replicated};

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(list, import)).routes(routes!(show))
}

/// All models with their deployments.
#[utoipa::path(
    get, path = "/admin/v1/models", tag = "models",
    responses((status = 200, description = "As it stands.", body = List<ModelView>), Failures),
)]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<List<ModelView>> {
    let (state, live) = (admin.state(), admin.live());
    let models = state.models.iter();
    let items = models.map(|(name, model)| views::model(&state, &live, name, model)).collect();
    Json(views::list("ModelList", items))
}

/// One model.
#[utoipa::path(
    get, path = "/admin/v1/models/{*model}", tag = "models",
    params(("model" = String, Path, description = "Its name; it may hold slashes.")),
    responses((status = 200, description = "As it stands.", body = ModelView), Failures),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<ModelView>, AdminError> {
    let (state, live) = (admin.state(), admin.live());
    let model = state.models.get(&name).ok_or_else(|| Refusal::no_model(&name))?;
    Ok(Json(views::model(&state, &live, &name, model)))
}

/// Make a model on a worker's disk known to the cluster.
#[utoipa::path(
    post, path = "/admin/v1/models", tag = "models", request_body = ImportModel,
    responses(
        (status = 200, description = "Accepted; follow the operation.", body = OperationView),
        Failures,
    ),
)]
pub(super) async fn import(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    bytes: Bytes,
) -> Result<Json<OperationView>, AdminError> {
    let ImportModel { name, path, node } = body(&bytes)?;
    let name = match name {
        Some(name) => name,
        None => name_of(&path)?,
    };
    let state = admin.state();
    let node = importer(&admin, &state, node.as_deref())?;
    let operation = asker.operation();
    let worker = state.members.get(&node).map_or_else(|| node.short(), |m| m.name.clone());
    let note = format!("{worker} reads {path}");
    let kind = OperationKind::Import;
    let id = operation.clone();
    admin.propose(&asker, Change::StartOperation { id, kind, subject: name, note }).await?;
    let sent = CoordinatorMessage::Import { operation: operation.clone(), path };
    if !admin.registry.send(node, sent) {
        return Err(not_connected(&worker));
    }
    operations::view(&admin, &operation).map(Json)
}

/// The file's or folder's own name, without its ending.
fn name_of(path: &str) -> Result<String, AdminError> {
    let path_of = FilePath::new(path);
    let whole = path_of.file_name().and_then(|n| n.to_str());
    let stem = path_of.file_stem().and_then(|n| n.to_str());
    let is_file = whole.is_some_and(|n| n.ends_with(".gguf") || n.ends_with(".safetensors"));
    let name = if is_file { stem } else { whole };
    name.map(str::to_owned).ok_or_else(|| {
        AdminError::invalid(format!("path `{path}` ends in no name")).hint("give --name")
    })
}

/// The worker that reads the path: the one named, or the only one.
fn importer(admin: &Admin, state: &Replicated, wanted: Option<&str>) -> Result<NodeId, AdminError> {
    if let Some(wanted) = wanted {
        let (node, member) = state.find_member(wanted).ok_or_else(|| Refusal::no_node(wanted))?;
        if member.role != Role::Worker {
            return Err(AdminError::invalid(format!("`{wanted}` is not a worker")));
        }
        if !admin.registry.is_attached(node) {
            return Err(not_connected(&member.name));
        }
        return Ok(node);
    }
    let attached: Vec<_> =
        state.workers().filter(|(node, _)| admin.registry.is_attached(*node)).collect();
    match attached[..] {
        [] => Err(AdminError::precondition("no worker is connected").hint("trireme node ls")),
        [(node, _)] => Ok(node),
        _ => {
            let names: Vec<_> = attached.iter().map(|(_, m)| m.name.as_str()).collect();
            let names = names.join(", ");
            Err(AdminError::invalid(format!("which node has the file: {names}?"))
                .hint("name it with --node"))
        }
    }
}

fn not_connected(name: &str) -> AdminError {
    let message = format!("`{name}` is not connected to this coordinator");
    AdminError::new(StatusCode::CONFLICT, "precondition", message).hint("trireme node ls")
}
