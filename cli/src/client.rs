//! HTTP to a coordinator: JSON in and out, failures as exit codes.

use std::time::{Duration, SystemTime};

use protocol::admin::{ClusterStatus, ErrorBody, ErrorDetail};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Global;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::terminal::note_line;

/// A request that is not a stream answers within this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const FILE_TIMEOUT: Duration = Duration::from_secs(300);
const FILE_BYTES_MAX: usize = 1 << 30;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Client {
    http: reqwest::Client,
    context: Context,
    quiet: bool,
}

impl Client {
    pub(crate) fn new(global: &Global) -> Result<Self, CliError> {
        Ok(Self { quiet: global.quiet, ..Self::of(Context::resolve(global)?)? })
    }

    pub(crate) fn of(context: Context) -> Result<Self, CliError> {
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy();
        if let Some(pem) = &context.ca_pem {
            let cas = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(|e| {
                CliError::usage("the context's CA certificate is not PEM", e.to_string())
            })?;
            builder = builder.tls_certs_only(cas);
        }
        let http = builder.build().map_err(|e| CliError::internal(&e.to_string()))?;
        Ok(Self { http, context, quiet: false })
    }

    /// The same cluster through its other coordinators, as far as this one tells them.
    pub(crate) async fn others(&self) -> Vec<Self> {
        let Ok(status) = self.get::<ClusterStatus>("/admin/v1/cluster").await else {
            return Vec::new();
        };
        let scheme = self.context.api.split("://").next().unwrap_or("https");
        let apis = status.coordinators.iter().map(|c| format!("{scheme}://{}", c.api_address));
        let other = |api: &String| *api != self.context.api;
        let at = |api| Self::of(Context { api, ..self.context.clone() }).ok();
        apis.filter(other).filter_map(at).collect()
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.call(Method::GET, path, None::<&()>).await
    }

    pub(crate) async fn post<B, T>(&self, path: &str, body: &B) -> Result<T, CliError>
    where
        B: Serialize,
        T: DeserializeOwned,
    {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.call(Method::PUT, path, None::<&()>).await
    }

    pub(crate) async fn patch<B, T>(&self, path: &str, body: &B) -> Result<T, CliError>
    where
        B: Serialize,
        T: DeserializeOwned,
    {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    pub(crate) fn api(&self) -> &str {
        &self.context.api
    }

    /// The coordinator's clock, as the header `Date` of its answers tells it.
    pub(crate) async fn date(&self) -> Option<SystemTime> {
        let request = self.request(Method::GET, "/health").timeout(ANSWER_TIMEOUT);
        let response = request.send().await.ok()?;
        let date = response.headers().get(reqwest::header::DATE)?.to_str().ok()?.to_owned();
        httpdate::parse_http_date(&date).ok()
    }

    /// The bytes of an answer that is a file, up to a limit no snapshot comes near.
    pub(crate) async fn download(&self, path: &str) -> Result<Vec<u8>, CliError> {
        let request = self.request(Method::POST, path).timeout(FILE_TIMEOUT);
        let mut response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(failure(response).await);
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > FILE_BYTES_MAX {
                let why = format!("{path}: more than {FILE_BYTES_MAX} bytes");
                return Err(CliError::new(Exit::Failed, "the answer is too long", why, ""));
            }
        }
        Ok(bytes)
    }

    /// The open response of a request that streams its answer; no total deadline.
    pub(crate) async fn stream<B: Serialize>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Response, CliError> {
        let request = self.request(Method::POST, path).json(body);
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if response.status().is_success() { Ok(response) } else { Err(failure(response).await) }
    }

    /// An open answer to a GET that goes on; no total deadline.
    pub(crate) async fn watch(&self, path: &str) -> Result<Response, CliError> {
        let response =
            self.request(Method::GET, path).send().await.map_err(|e| self.unreachable(&e))?;
        if response.status().is_success() { Ok(response) } else { Err(failure(response).await) }
    }

    async fn call<B, T>(&self, method: Method, path: &str, body: Option<&B>) -> Result<T, CliError>
    where
        B: Serialize,
        T: DeserializeOwned,
    {
        let mut request = self.request(method, path).timeout(ANSWER_TIMEOUT);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(failure(response).await);
        }
        self.note_staleness(&response);
        response.json().await.map_err(|e| {
            let why = format!("{path}: {e}");
            let next = "compare `trireme version` here and there";
            CliError::new(Exit::Failed, "the coordinator's answer does not read", why, next)
        })
    }

    /// What a coordinator shows that hears no leader may be old: it must not look fresh.
    fn note_staleness(&self, response: &Response) {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        if self.quiet || header("trireme-led") != Some("false") {
            return;
        }
        let age = header("trireme-age-ms").and_then(|age| age.parse::<u64>().ok());
        let age = age.map_or_else(String::new, |age| format!(", for {} s", age / 1000));
        note_line(&format!("this coordinator hears no leader{age}: what it shows may be old"));
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.context.api));
        match &self.context.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            why = format!("{why}: {inner}");
            source = inner.source();
        }
        let what = format!("no coordinator answers at {}", self.context.api);
        // What a TLS port sends first is no HTTP.
        let next = match self.context.api.starts_with("http:") && why.contains("HTTP version") {
            true => "that port may speak TLS: use the context that `cluster init` saved",
            false => "start one with `trireme up` or `trireme coordinator`, or name another: --api",
        };
        CliError::new(Exit::Unreachable, what, why, next)
    }
}

async fn failure(response: Response) -> CliError {
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let detail = serde_json::from_str::<ErrorBody>(&text).map(|body| body.error);
    let message = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|v| v["error"]["message"].as_str().map(str::to_owned));
    let detail = detail.unwrap_or_else(|_| ErrorDetail {
        code: String::new(),
        message: message.unwrap_or_else(|| text.chars().take(300).collect()),
        hint: String::new(),
        request_id: String::new(),
    });
    let what = format!("the coordinator refused: {status}");
    let exit = exit_of(status, &detail.code);
    let hint = if detail.hint.is_empty() { next(exit).to_owned() } else { detail.hint };
    let mut error = CliError::new(exit, what, detail.message, hint);
    error.request_id = detail.request_id;
    error
}

/// What helps where the coordinator does not say it.
fn next(exit: Exit) -> &'static str {
    match exit {
        Exit::Usage => "see the command's --help",
        Exit::NotFound => "see what there is: trireme model ls, trireme node ls",
        Exit::Forbidden => "see who you are: trireme context ls; or name a key: --key-file",
        Exit::Unreachable => "try again, or ask another coordinator: --api",
        _ => "see: trireme cluster status",
    }
}

fn exit_of(status: StatusCode, code: &str) -> Exit {
    match (code, status) {
        ("does_not_fit", _) => Exit::DoesNotFit,
        ("no_quorum", _) => Exit::Unreachable,
        ("disk_full", _) => Exit::Precondition,
        (_, StatusCode::NOT_FOUND) => Exit::NotFound,
        (_, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Exit::Forbidden,
        (_, StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED) => Exit::Precondition,
        (_, StatusCode::BAD_REQUEST) => Exit::Usage,
        _ => Exit::Failed,
    }
}
