//! The HTTP gateway of a coordinator: clients in, token streams to and from the heads of replicas.

mod admission;
mod answer;
mod answer_text;
pub mod auth;
mod choice;
pub mod config;
pub mod directory;
mod error;
mod exchange;
mod generation;
mod headers;
mod health;
pub mod metrics;
pub mod model_text;
mod openai;
pub mod quota;
pub mod request;
pub mod router;
mod sse;
mod submission;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use self::admission::Admission;
use self::auth::Auth;
use self::config::GatewayConfig;
use self::directory::{Directory, ServedModel};
pub use self::error::ApiError;
pub use self::headers::RequestId;
use self::openai::sampling_fields::FieldLimits;
use self::openai::{chat_completions, completions, models};
use self::quota::{Quota, Unlimited};

/// What every handler shares; cheap to clone.
#[derive(Clone)]
pub struct GatewayState {
    config: Arc<GatewayConfig>,
    directory: Arc<dyn Directory>,
    admission: Admission,
    quota: Arc<dyn Quota>,
    metrics: Option<PrometheusHandle>,
    phase: watch::Sender<Phase>,
}

/// How far this node is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// What runs goes on.
    Draining,
    /// What still runs is told to go elsewhere.
    Cut,
}

/// The client API alone.
pub fn router(state: GatewayState) -> Router {
    router_with(state, Router::new())
}

/// The client API with further routes beside it (full paths, their own keys), all under the same
/// request ids, access log and error objects.
pub fn router_with(state: GatewayState, beside: Router) -> Router {
    let keyed = Router::new()
        .nest("/v1", api())
        .merge(api())
        .route("/metrics", get(render_metrics))
        .route_layer(from_fn_with_state(state.auth(), auth::authorise));
    Router::new()
        .route("/", get(health::live))
        .route("/health", get(health::live))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/readyz/{*model}", get(health::model_ready))
        .merge(keyed)
        .with_state(state)
        .merge(beside)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(headers::identify))
        .layer(local_pages())
}

/// Served with and without `/v1` in front.
fn api() -> Router<GatewayState> {
    Router::new()
        .route("/chat/completions", post(chat_completions::create))
        .route("/completions", post(completions::create))
        .route("/models", get(models::list))
        .route("/models/{*id}", get(models::retrieve))
}

impl GatewayState {
    /// `metrics` renders `/metrics`; without it that path is unknown.
    pub fn new(
        config: GatewayConfig,
        directory: Arc<dyn Directory>,
        metrics: Option<PrometheusHandle>,
    ) -> Self {
        let admission = Admission::new(config.limits);
        let config = Arc::new(config);
        let quota = Arc::new(Unlimited);
        let phase = watch::Sender::new(Phase::Serving);
        Self { config, directory, admission, quota, metrics, phase }
    }

    /// Keys have limits, and `quota` counts them.
    pub fn with_quota(self, quota: Arc<dyn Quota>) -> Self {
        Self { quota, ..self }
    }

    /// From now on new requests are refused with a hint to try another node; running ones go on.
    pub fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Answers that still run end now, each with an error that says to send it again.
    pub fn cut(&self) {
        self.phase.send_replace(Phase::Cut);
    }

    #[cfg(test)]
    fn serve_again(&self) {
        self.phase.send_replace(Phase::Serving);
    }

    /// For routers beside this one that want the same keys.
    pub fn auth(&self) -> Auth {
        Auth { policy: self.config.keys, directory: self.directory.clone() }
    }

    fn draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    fn refuse_when_draining(&self) -> Result<(), ApiError> {
        if self.draining() {
            return Err(ApiError::unavailable("overloaded", "This node is shutting down."));
        }
        Ok(())
    }

    fn model(&self, name: &str) -> Result<Arc<ServedModel>, ApiError> {
        let fallback = || self.directory.model(self.config.fallback_model.as_deref()?);
        self.directory.model(name).or_else(fallback).ok_or_else(|| {
            let models = self.directory.models();
            let names: Vec<String> = models.iter().map(|m| m.name.clone()).collect();
            let shown: String = name.chars().take(128).collect();
            ApiError::model_not_found(&shown, &models::close_matches(name, &names))
        })
    }

    fn field_limits(&self, model: &ServedModel) -> FieldLimits {
        FieldLimits {
            vocab_size: model.vocab_size,
            context_length: model.context_length,
            choices_max: self.config.limits.choices_max,
        }
    }
}

async fn render_metrics(State(state): State<GatewayState>, request: Request) -> Response {
    match &state.metrics {
        Some(handle) => handle.render().into_response(),
        None => unknown_path(request).await,
    }
}

async fn unknown_path(request: Request) -> Response {
    ApiError::unknown_path(request.method().as_str(), request.uri().path()).into_response()
}

async fn wrong_method(request: Request) -> Response {
    ApiError::wrong_method(request.method().as_str(), request.uri().path()).into_response()
}

/// Pages of this machine may call the API from a browser; pages of the internet may not read it.
fn local_pages() -> CorsLayer {
    let local = AllowOrigin::predicate(|origin, _| auth::is_local(origin));
    CorsLayer::new().allow_origin(local).allow_methods(Any).allow_headers(Any)
}

#[cfg(test)]
mod tests;
