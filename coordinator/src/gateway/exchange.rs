//! What every generating endpoint does around its own part: admit, read, find the model, tokenise,
//! run, answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use protocol::ids::TokenId;

use super::GatewayState;
use super::admission::{Admitted, HeldBody};
use super::answer::{Shape, Totals, collect};
use super::auth::Caller;
use super::directory::ServedModel;
use super::error::ApiError;
use super::generation::{Generation, Job};
use super::headers::RequestId;
use super::metrics::RequestMeter;
use super::model_text::{ModelText, TextRefused};
use super::quota::Need;
use super::sse;

/// Bytes of text that are tokenised without leaving the async thread.
const INLINE_BYTES_MAX: usize = 4 << 10;
/// No vocabulary has tokens that stand for more bytes: a longer text cannot fit, and is not
/// tokenised to count by how much.
const TOKEN_BYTES_MAX: usize = 512;

/// One request on its way.
pub(super) struct Exchange {
    pub(super) state: GatewayState,
    pub(super) request_id: String,
    pub(super) meter: RequestMeter,
    pub(super) body: HeldBody,
    admitted: Admitted,
}

impl Exchange {
    /// Admits the request and reads its body, then lets `serve` answer; every error is counted.
    pub(super) async fn run<F>(
        endpoint: &'static str,
        state: GatewayState,
        request: Request,
        serve: F,
    ) -> Response
    where
        F: AsyncFnOnce(&mut Self) -> Result<Answering, ApiError>,
    {
        let (parts, body) = request.into_parts();
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_else(Caller::nobody);
        let request_id = parts.extensions.get::<RequestId>().map(|r| r.0.clone());
        let request_id = request_id.unwrap_or_default();
        let mut meter = RequestMeter::start(endpoint, &request_id, &caller, state.quota.clone());
        let entered = async {
            state.refuse_when_draining()?;
            let admitted = state.admission.admit()?;
            meter.account.take(Need { requests: 1, tokens: 0 }).await?;
            Ok((admitted, state.admission.read_body(&parts.headers, body).await?))
        };
        let (admitted, body) = match entered.await {
            Ok(entered) => entered,
            Err(error) => return refuse(&mut meter, error),
        };
        let mut exchange = Self { state, request_id, meter, body, admitted };
        match serve(&mut exchange).await {
            Ok(answering) => exchange.answer(answering).await,
            Err(error) => refuse(&mut exchange.meter, error),
        }
    }

    /// The model of that name, or the fallback.
    pub(super) fn model(&mut self, name: &str) -> Result<Arc<ServedModel>, ApiError> {
        let model = self.state.model(name)?;
        self.meter.account.check_model(&model.name)?;
        self.meter.model(&model.name);
        self.state.admission.check_queues(&self.state.directory.route(&model.name))?;
        Ok(model)
    }

    /// The model's tokenizer; waits for it as long as for a replica.
    pub(super) async fn text(
        &self,
        model: &Arc<ServedModel>,
    ) -> Result<Arc<dyn ModelText>, ApiError> {
        let wait = self.state.config.patience.plan;
        let mut changes = self.state.directory.changes();
        let arrival = async {
            loop {
                let now = self.state.directory.model(&model.name);
                if let Some(text) = now.and_then(|m| m.text.clone()) {
                    return text;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(wait, arrival).await.map_err(|_| {
            let (name, waited) = (&model.name, wait.as_secs());
            let message = format!("The tokenizer of `{name}` did not arrive in {waited} s.");
            ApiError::unavailable("model_loading", message)
        })
    }

    async fn answer(self, answering: Answering) -> Response {
        let Answering { job, shape, stream, ignored } = answering;
        let mut meter = self.meter;
        let tokens = job.prompt_tokens() as u64;
        // Once here, a request is never refused for its key again, however often it is resumed.
        if let Err(error) = meter.account.take(Need { requests: 0, tokens }).await {
            return refuse(&mut meter, error);
        }
        meter.prompt_tokens = tokens;
        drop(self.body);
        let mut generation = Generation::start(&self.state, &job);
        let keep_alive = self.state.config.keep_alive;
        let mut response = if stream {
            match generation.accepted().await {
                Ok(()) => shape.stream(generation, meter, self.admitted, keep_alive),
                Err(error) => return refuse(&mut meter, error),
            }
        } else {
            match collect(generation, &mut meter).await {
                Ok((answers, totals)) => {
                    meter.finished(totals.finish());
                    shape.reply(answers, totals)
                }
                Err(error) => return refuse(&mut meter, error),
            }
        };
        let headers = response.headers_mut();
        if let Ok(revision) = HeaderValue::from_str(&job.model.manifest.short()) {
            headers.insert("x-model-revision", revision);
        }
        if let Some(names) = ignored_header(&ignored) {
            headers.insert("x-ignored-params", names);
        }
        response
    }
}

/// What an endpoint makes of a request.
pub(super) struct Answering {
    pub(super) job: Job,
    pub(super) shape: Box<dyn AnyShape>,
    pub(super) stream: bool,
    /// Fields that were not understood.
    pub(super) ignored: Vec<String>,
}

/// A `Shape` whose type is not named.
pub(super) trait AnyShape: Send {
    fn stream(
        self: Box<Self>,
        generation: Generation,
        meter: RequestMeter,
        admitted: Admitted,
        keep_alive: Duration,
    ) -> Response;

    fn reply(self: Box<Self>, answers: Vec<super::answer::Answer>, totals: Totals) -> Response;
}

impl<S: Shape> AnyShape for S {
    fn stream(
        self: Box<Self>,
        generation: Generation,
        meter: RequestMeter,
        admitted: Admitted,
        keep_alive: Duration,
    ) -> Response {
        sse::respond(generation, *self, meter, admitted, keep_alive)
    }

    fn reply(mut self: Box<Self>, answers: Vec<super::answer::Answer>, totals: Totals) -> Response {
        let mut body = self.whole(answers, &totals);
        totals.mark(&mut body);
        axum::Json(body).into_response()
    }
}

/// Tokenises off the async threads when it may take long.
pub(super) async fn tokenise(
    text: Arc<dyn ModelText>,
    bytes: usize,
    work: impl FnOnce(&dyn ModelText) -> Result<Vec<TokenId>, TextRefused> + Send + 'static,
    param: &'static str,
) -> Result<Vec<TokenId>, ApiError> {
    let refused = |error: TextRefused| ApiError::invalid(param, error.0);
    if bytes <= INLINE_BYTES_MAX {
        return work(&*text).map_err(refused);
    }
    match tokio::task::spawn_blocking(move || work(&*text)).await {
        Ok(tokens) => tokens.map_err(refused),
        Err(_) => Err(ApiError::invalid(param, "The tokenizer failed on this input.")),
    }
}

/// Refuses text that is too long for any tokenizer, before tokenising it.
pub(super) fn check_bytes(model: &ServedModel, bytes: usize, param: &str) -> Result<(), ApiError> {
    let limit = model.context_length;
    if bytes <= limit as usize * TOKEN_BYTES_MAX {
        return Ok(());
    }
    Err(ApiError::context_length(param, limit, &format!("your input has {bytes} bytes")))
}

/// The prompt must leave room for at least one token.
pub(super) fn check_tokens(
    model: &ServedModel,
    tokens: usize,
    param: &str,
) -> Result<(), ApiError> {
    let limit = model.context_length;
    if tokens == 0 {
        return Err(ApiError::invalid(param, format!("'{param}' has no tokens.")));
    }
    if tokens < limit as usize {
        return Ok(());
    }
    let found = format!("your input resulted in {tokens} tokens, which leaves none to answer");
    Err(ApiError::context_length(param, limit, &found))
}

fn refuse(meter: &mut RequestMeter, error: ApiError) -> Response {
    meter.refused(error.status.as_u16(), error.code.unwrap_or("invalid_request"));
    error.into_response()
}

/// Names that are safe in a header, within bounds.
fn ignored_header(names: &[String]) -> Option<HeaderValue> {
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    let fits = |n: &&String| (1..=64).contains(&n.len()) && n.chars().all(safe);
    let names: Vec<&str> = names.iter().filter(fits).take(32).map(String::as_str).collect();
    if names.is_empty() { None } else { HeaderValue::from_str(&names.join(", ")).ok() }
}
