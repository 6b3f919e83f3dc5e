//! API keys: made here, shown once.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use protocol::admin::{KeyCreated, KeyView, List, NewKey};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asker::Asker;
use super::error::{AdminError, Failures, body};
use super::{Admin, views};
use crate::api_key::ApiKey;
use crate::state::Change;

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(list, create))
}

/// All API keys, without their secrets.
#[utoipa::path(
    get, path = "/admin/v1/keys", tag = "keys",
    responses((status = 200, description = "As it stands.", body = List<KeyView>), Failures),
)]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<List<KeyView>> {
    let state = admin.state();
    let items = state.keys.iter().map(|(name, key)| KeyView {
        name: name.clone(),
        role: key.role,
        prefix: key.prefix.clone(),
        created_at: key.created_at.to_string(),
    });
    Json(views::list("KeyList", items.collect()))
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
    let NewKey { name, role } = body(&bytes)?;
    let key = ApiKey::generate().map_err(|error| AdminError::precondition(error.to_string()))?;
    let (hash, prefix) = (key.hash(), key.prefix());
    let change = Change::AddKey { name: name.clone(), role, hash, prefix: prefix.clone() };
    admin.propose(&asker, change).await?;
    let state = admin.state();
    let kept = state.keys.get(&name);
    let made_before = kept.is_some_and(|kept| kept.hash != hash);
    let prefix = kept.map_or(prefix, |kept| kept.prefix.clone());
    let created_at = kept.map(|k| k.created_at.to_string()).unwrap_or_default();
    let view = KeyView { name, role, prefix, created_at };
    let key = (!made_before).then(|| key.expose().to_owned());
    Ok(Json(KeyCreated { key, view }))
}
