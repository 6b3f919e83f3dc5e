//! Settings of the whole cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use protocol::admin::{List, SettingView, UpdateSettings};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asker::Asker;
use super::error::{AdminError, Failures, body};
use super::{Admin, views};
use crate::state::{Change, Setting, Settings, SettingsChange};

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(list, update))
}

/// The settings that every coordinator obeys.
#[utoipa::path(
    get, path = "/admin/v1/cluster/config", tag = "settings",
    responses((status = 200, description = "As they are.", body = List<SettingView>), Failures),
)]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<List<SettingView>> {
    Json(present(&admin))
}

/// Change settings, all of them or none; they are obeyed at once, without a restart.
#[utoipa::path(
    patch, path = "/admin/v1/cluster/config", tag = "settings", request_body = UpdateSettings,
    responses((status = 200, description = "As they are now.", body = List<SettingView>), Failures),
)]
pub(super) async fn update(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    bytes: Bytes,
) -> Result<Json<List<SettingView>>, AdminError> {
    let UpdateSettings(asked) = body(&bytes)?;
    let read = asked.iter().map(|(name, seconds)| Setting::read(name, *seconds));
    let values = read.collect::<Result<BTreeMap<_, _>, _>>()?;
    if !values.is_empty() {
        let change = SettingsChange::Set { values };
        admin.propose(&asker, Change::Settings(change)).await?;
    }
    Ok(Json(present(&admin)))
}

fn present(admin: &Admin) -> List<SettingView> {
    let state = admin.state();
    let items = Setting::ALL.map(|setting| view(&state.settings, setting)).to_vec();
    views::list("SettingList", items)
}

fn view(settings: &Settings, setting: Setting) -> SettingView {
    let facts = setting.facts();
    SettingView {
        name: facts.name.to_owned(),
        value: settings.value(setting).as_secs_f64(),
        default: facts.default.as_secs_f64(),
        is_set: settings.set(setting).is_some(),
        min: facts.min.as_secs_f64(),
        max: facts.max.as_secs_f64(),
        description: facts.description.to_owned(),
    }
}
