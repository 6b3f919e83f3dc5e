//! Liveness and readiness, open to everyone.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::GatewayState;
use super::error::ApiError;

/// The process answers: that is all it says.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// 200 when at least one model can be served; `?verbose` lists them all as text.
pub(super) async fn ready(
    State(state): State<GatewayState>,
    RawQuery(query): RawQuery,
) -> Response {
    let models: Vec<(String, Result<(), String>)> =
        state.directory.models().iter().map(|m| (m.name.clone(), check(&state, &m.name))).collect();
    let ready = !state.draining() && models.iter().any(|(_, checked)| checked.is_ok());
    if query.is_some_and(|q| q.split('&').any(|p| p == "verbose" || p.starts_with("verbose="))) {
        return (status(ready), verbose(&state, &models, ready)).into_response();
    }
    let models: Vec<Value> = models
        .into_iter()
        .map(|(name, checked)| match checked {
            Ok(()) => json!({"name": name, "ready": true}),
            Err(reason) => json!({"name": name, "ready": false, "reason": reason}),
        })
        .collect();
    let word = if ready { "ready" } else { "not ready" };
    let problems = state.directory.problems();
    let body = json!({"status": word, "models": models, "problems": problems});
    (status(ready), Json(body)).into_response()
}

pub(super) async fn model_ready(
    State(state): State<GatewayState>,
    Path(name): Path<String>,
) -> Response {
    if state.directory.model(&name).is_none() {
        return ApiError::model_not_found(&name, &[]).into_response();
    }
    match check(&state, &name) {
        Ok(()) if !state.draining() => Json(json!({"status": "ready"})).into_response(),
        Ok(()) => ApiError::unavailable("overloaded", "This node is draining.").into_response(),
        Err(reason) => ApiError::unavailable("no_capacity", reason).into_response(),
    }
}

fn check(state: &GatewayState, model: &str) -> Result<(), String> {
    let route = state.directory.route(model);
    if !route.targets.is_empty() {
        return Ok(());
    }
    Err(route.shortage.map_or_else(|| "no replica is ready".to_owned(), |s| s.reason))
}

fn verbose(state: &GatewayState, models: &[(String, Result<(), String>)], ready: bool) -> String {
    let mut lines = String::new();
    if state.draining() {
        lines.push_str("[-]draining\n");
    }
    for problem in state.directory.problems() {
        lines.push_str(&format!("[-]log {problem}\n"));
    }
    for (name, checked) in models {
        match checked {
            Ok(()) => lines.push_str(&format!("[+]model {name} ok\n")),
            Err(reason) => lines.push_str(&format!("[-]model {name} not ready: {reason}\n")),
        }
    }
    lines.push_str(if ready { "readyz check passed\n" } else { "readyz check failed\n" });
    lines
}

fn status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
