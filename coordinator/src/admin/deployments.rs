//! Plans as answers, and deployments: refused at once when nothing can hold the model.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use partitioner::{PlanError, Planned};
use protocol::admin::{DeployModel, DeployOptions, OperationView, PlanRequest, PlanView};
use protocol::ids::NodeId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asker::Asker;
use super::error::{AdminError, Failures, body};
use super::{Admin, operations, views};
use crate::reconcile::placement;
use crate::state::{Change, Refusal};

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(plan)).routes(routes!(deploy)).routes(routes!(undeploy))
}

/// Where a model would run and how fast; nothing is changed.
#[utoipa::path(
    post, path = "/admin/v1/plan", tag = "deployments", request_body = PlanRequest,
    responses(
        (status = 200, description = "A plan, or why there is none.", body = PlanView),
        Failures,
    ),
)]
pub(super) async fn plan(
    State(admin): State<Arc<Admin>>,
    bytes: Bytes,
) -> Result<Json<PlanView>, AdminError> {
    let PlanRequest { model, options, without } = body(&bytes)?;
    let state = admin.state();
    let mut left_out = BTreeSet::new();
    for name in &without {
        let (node, _) = state.find_member(name).ok_or_else(|| Refusal::no_node(name))?;
        left_out.insert(node);
    }
    match try_plan(&admin, &model, &options, &left_out)? {
        Ok(planned) => Ok(Json(views::plan(&model, &planned))),
        Err(error) if is_bad_option(&error) => Err(AdminError::invalid(error.to_string())),
        Err(error) => Ok(Json(views::no_plan(&model, &error))),
    }
}

/// Plan a model, place it, serve it.
#[utoipa::path(
    post, path = "/admin/v1/deployments", tag = "deployments", request_body = DeployModel,
    responses(
        (status = 200, description = "Accepted; follow the operation.", body = OperationView),
        Failures,
    ),
)]
pub(super) async fn deploy(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    bytes: Bytes,
) -> Result<Json<OperationView>, AdminError> {
    let DeployModel { model, options } = body(&bytes)?;
    match try_plan(&admin, &model, &options, &BTreeSet::new())? {
        Ok(_) => {}
        Err(error) if is_bad_option(&error) => {
            return Err(AdminError::invalid(error.to_string()));
        }
        Err(error) => {
            let message = format!("{model} does not fit: {error}");
            return Err(AdminError::new(StatusCode::CONFLICT, "does_not_fit", message)
                .hint(format!("add a node, or look at: trireme plan {model}")));
        }
    }
    let operation = asker.operation();
    admin.propose(&asker, Change::Deploy { model, options, operation: operation.clone() }).await?;
    operations::view(&admin, &operation).map(Json)
}

/// Stop serving a model; its weights stay on the disks.
#[utoipa::path(
    delete, path = "/admin/v1/deployments/{*model}", tag = "deployments",
    params(("model" = String, Path, description = "Its name; it may hold slashes.")),
    responses(
        (status = 200, description = "Accepted; follow the operation.", body = OperationView),
        Failures,
    ),
)]
pub(super) async fn undeploy(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    Path(model): Path<String>,
) -> Result<Json<OperationView>, AdminError> {
    let operation = asker.operation();
    admin.propose(&asker, Change::Undeploy { model, operation: operation.clone() }).await?;
    operations::view(&admin, &operation).map(Json)
}

fn is_bad_option(error: &PlanError) -> bool {
    use PlanError::{BadOption, Degrees, KvType};
    matches!(error, BadOption { .. } | KvType { .. } | Degrees { .. })
}

fn try_plan(
    admin: &Admin,
    name: &str,
    options: &DeployOptions,
    left_out: &BTreeSet<NodeId>,
) -> Result<Result<Planned, PlanError>, AdminError> {
    let (state, live) = (admin.state(), admin.live());
    let model = state.models.get(name).ok_or_else(|| Refusal::no_model(name))?;
    let usable = |node: NodeId| live.is_usable(node) && !left_out.contains(&node);
    let objective = placement::objective(&model.spec, options);
    Ok(placement::place(&state, model, &objective, &usable, &BTreeSet::new()))
}
