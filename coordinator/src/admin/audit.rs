//! The audit chain, as far as the cluster keeps it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use protocol::admin::{API_VERSION, AuditList};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::error::{AdminError, Failures};

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(list))
}

const RECORDS_MAX: usize = 1000;

#[derive(Deserialize)]
pub(super) struct AuditQuery {
    /// Only records with a higher number.
    #[serde(default)]
    after: u64,
    /// At most 1000, which is also the default.
    limit: Option<usize>,
}

/// Who changed what, oldest first; each record holds the hash of the one before.
#[utoipa::path(
    get, path = "/admin/v1/audit", tag = "audit",
    params(
        ("after" = Option<u64>, Query, description = "Only records with a higher number."),
        ("limit" = Option<usize>, Query, description = "At most 1000, which is also the default."),
    ),
    responses((status = 200, description = "A part of the chain.", body = AuditList), Failures),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditList>, AdminError> {
    let limit = query.limit.unwrap_or(RECORDS_MAX);
    if !(1..=RECORDS_MAX).contains(&limit) {
        let message = format!("limit is {limit}, expected 1 to {RECORDS_MAX}");
        return Err(AdminError::invalid(message));
    }
    let state = admin.state();
    let chain = &state.audit;
    Ok(Json(AuditList {
        api_version: API_VERSION.to_owned(),
        kind: "AuditList".to_owned(),
        cut: chain.cut(),
        anchor: chain.anchor(),
        head: chain.head(),
        items: chain.after(query.after).take(limit).map(|r| r.as_ref().clone()).collect(),
    }))
}
