//! API keys: made and rotated here, shown once.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::admin::{KeyCreated, KeyUsage, KeyView, List, NewKey, RotateKey, UpdateKey};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asker::Asker;
use super::error::{AdminError, Failures, body};
use super::{Admin, views};
use crate::api_key::ApiKey;
use crate::raft::wall_clock;
use crate::state::{Change, KeyChange, Refusal, State as Replicated};

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, update, revoke))
        .routes(routes!(rotate))
}

/// All API keys, without their secrets.
#[utoipa::path(
    get, path = "/admin/v1/keys", tag = "keys",
    responses((status = 200, description = "As it stands.", body = List<KeyView>), Failures),
)]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<List<KeyView>> {
    let state = admin.state();
    let items = state.keys.keys().filter_map(|name| view(&state, name).ok());
    Json(views::list("KeyList", items.collect()))
}

/// One API key: its limits and what it has used.
#[utoipa::path(
    get, path = "/admin/v1/keys/{key}", tag = "keys",
    params(("key" = String, Path, description = "Its name.")),
    responses((status = 200, description = "As it stands.", body = KeyView), Failures),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<KeyView>, AdminError> {
    view(&admin.state(), &name).map(Json)
}

/// Make an API key; it is shown once.
#[utoipa::path(
    post, path = "/admin/v1/keys", tag = "keys", request_body = NewKey,
    responses((status = 200, description = "The key.", body = KeyCreated), Failures),
)]
pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    bytes: Bytes,
) -> Result<Json<KeyCreated>, AdminError> {
    let NewKey { name, role, limits, expires_in_seconds } = body(&bytes)?;
    let key = new_text()?;
    let (hash, prefix) = (key.hash(), key.prefix());
    let now = wall_clock();
    let made = KeyView {
        name: name.clone(),
        role,
        prefix: prefix.clone(),
        created_at: now.to_string(),
        limits: limits.clone(),
        expires_at: expires_in_seconds.map(|left| now.plus_seconds(left).to_string()),
        old_text_until: None,
        usage: KeyUsage::default(),
    };
    let of = name.clone();
    let create = KeyChange::Create { name, role, hash, prefix, limits, expires_in_seconds };
    admin.propose(&asker, Change::Key(create)).await?;
    if admin.state().keys.contains_key(&of) {
        return shown_once(&admin, &of, &key);
    }
    // A copy that cannot follow, as its disk is full, still hands over what this request made. A
    // request that may have been sent before may have made it with another text.
    if asker.request.is_none() {
        return Ok(Json(KeyCreated { key: Some(key.expose().to_owned()), view: made }));
    }
    let message = format!("`{of}` is made, and this coordinator's copy is behind");
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Err(AdminError::new(status, "unavailable", message).hint("ask again, or another coordinator"))
}

/// Change what a key may do; what is not named stays.
#[utoipa::path(
    patch, path = "/admin/v1/keys/{key}", tag = "keys", request_body = UpdateKey,
    params(("key" = String, Path, description = "Its name.")),
    responses((status = 200, description = "As it is now.", body = KeyView), Failures),
)]
pub(super) async fn update(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<Json<KeyView>, AdminError> {
    let update: UpdateKey = body(&bytes)?;
    let change = KeyChange::Update { name: name.clone(), update };
    admin.propose(&asker, Change::Key(change)).await?;
    view(&admin.state(), &name).map(Json)
}

/// Give a key a new text; the old one stays good for a stated time.
#[utoipa::path(
    post, path = "/admin/v1/keys/{key}/rotate", tag = "keys", request_body = RotateKey,
    params(("key" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The key.", body = KeyCreated), Failures),
)]
pub(super) async fn rotate(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<Json<KeyCreated>, AdminError> {
    let RotateKey { overlap_seconds } = body(&bytes)?;
    let key = new_text()?;
    let (hash, prefix) = (key.hash(), key.prefix());
    let rotate = KeyChange::Rotate { name: name.clone(), hash, prefix, overlap_seconds };
    admin.propose(&asker, Change::Key(rotate)).await?;
    shown_once(&admin, &name, &key)
}

/// End a key at once, on every coordinator.
#[utoipa::path(
    delete, path = "/admin/v1/keys/{key}", tag = "keys",
    params(("key" = String, Path, description = "Its name.")),
    responses((status = 200, description = "As it was.", body = KeyView), Failures),
)]
pub(super) async fn revoke(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<Json<KeyView>, AdminError> {
    let last = view(&admin.state(), &name);
    admin.propose(&asker, Change::Key(KeyChange::Revoke { name: name.clone() })).await?;
    last.map(Json)
}

fn new_text() -> Result<ApiKey, AdminError> {
    ApiKey::generate().map_err(|error| AdminError::precondition(error.to_string()))
}

/// Without the text where it is not this one that the log took: an earlier try was faster.
fn shown_once(admin: &Admin, name: &str, key: &ApiKey) -> Result<Json<KeyCreated>, AdminError> {
    let state = admin.state();
    let taken = state.keys.get(name).is_some_and(|kept| kept.hash == key.hash());
    let key = taken.then(|| key.expose().to_owned());
    Ok(Json(KeyCreated { key, view: view(&state, name)? }))
}

fn view(state: &Replicated, name: &str) -> Result<KeyView, AdminError> {
    let key = state.keys.get(name).ok_or_else(|| Refusal::no_key(name))?;
    Ok(KeyView {
        name: name.to_owned(),
        role: key.role,
        prefix: key.prefix.clone(),
        created_at: key.created_at.to_string(),
        limits: key.limits.clone(),
        expires_at: key.expires_at.map(|at| at.to_string()),
        old_text_until: key.old.as_ref().map(|old| old.until.to_string()),
        usage: key.usage(wall_clock()),
    })
}
