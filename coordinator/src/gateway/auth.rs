//! Who is calling: API keys in either header, compared in constant time on their hash.

use std::sync::Arc;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use protocol::admin::{ErrorBody, ErrorDetail, KeyRole};
use protocol::ids::Digest;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::directory::{Directory, KeyRecord};
use super::error::ApiError;
use super::headers::RequestId;
use crate::raft::wall_clock;
use crate::rights;

/// Whether callers must show a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPolicy {
    /// Bound to loopback: whoever is on this machine may do everything.
    Open,
    Required,
}

#[derive(Clone)]
pub struct Auth {
    pub policy: KeyPolicy,
    pub directory: Arc<dyn Directory>,
}

/// Name of the caller where no key is needed; never a key's, which begins with a letter or digit.
pub const LOCAL: &str = "(local)";

/// Put into the extensions of every request that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Name of the key, or `LOCAL`.
    pub name: String,
    pub role: KeyRole,
    /// Where one is needed.
    pub key: Option<Arc<KeyRecord>>,
}

impl Caller {
    /// Where no middleware asked: without rights and without limits.
    pub(super) fn nobody() -> Self {
        Self { name: LOCAL.into(), role: KeyRole::User, key: None }
    }
}

impl Auth {
    /// The caller, or why it is nobody.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        if self.policy == KeyPolicy::Open {
            refuse_foreign_page(headers)?;
            return Ok(Caller { name: LOCAL.into(), role: KeyRole::Admin, key: None });
        }
        let Some(key) = presented(headers) else {
            return Err(ApiError::unauthorized(
                "No API key: send it as `Authorization: Bearer <key>` or `x-api-key: <key>`.",
            ));
        };
        let keys = self.directory.keys();
        let hash = Digest::of(key);
        // Every key is looked at, so that the time says nothing about which one came close.
        let none = keys.len() as u64;
        let mut found = none;
        for (index, known) in keys.iter().enumerate() {
            found.conditional_assign(&(index as u64), known.hash.0.ct_eq(&hash.0));
        }
        let found = keys.get(usize::try_from(found).unwrap_or(usize::MAX));
        let key = found.ok_or_else(|| ApiError::unauthorized("Incorrect API key."))?;
        if let Some(at) = key.expires_at.filter(|at| *at <= wall_clock()) {
            return Err(ApiError::unauthorized(format!("The key `{}` expired at {at}.", key.name)));
        }
        Ok(Caller { name: key.name.clone(), role: key.role, key: Some(Arc::clone(key)) })
    }

    /// The caller of a route, if its role may call it; `matched` is the path as the router has it.
    pub fn authorise(
        &self,
        headers: &HeaderMap,
        method: &Method,
        matched: &str,
    ) -> Result<Caller, ApiError> {
        let caller = self.caller(headers)?;
        let roles = rights::roles(method, matched);
        if roles.contains(&caller.role) {
            return Ok(caller);
        }
        let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
        let needed = match names.as_slice() {
            [] => "no role may call this".to_owned(),
            names => format!("this needs one of {}", names.join(", ")),
        };
        let (name, role) = (&caller.name, caller.role.name());
        Err(ApiError::forbidden(format!("The key `{name}` has the role {role}; {needed}.")))
    }
}

/// Middleware: passes whom the table of rights lets pass. A refusal of the admin API has that API's
/// body.
pub async fn authorise(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(|p| p.as_str().to_owned());
    let matched = matched.unwrap_or_default();
    match auth.authorise(request.headers(), request.method(), &matched) {
        Ok(caller) => pass(caller, request, next).await,
        Err(error) if matched.starts_with("/admin/") => {
            let request_id = request.extensions().get::<RequestId>().map(|r| r.0.clone());
            let detail = ErrorDetail {
                code: error.code.unwrap_or_default().to_owned(),
                message: error.message.clone(),
                hint: "`trireme keys create NAME --role ROLE` makes a key of another role."
                    .to_owned(),
                request_id: request_id.unwrap_or_default(),
            };
            let (parts, _) = error.into_response().into_parts();
            (parts, Json(ErrorBody { error: detail })).into_response()
        }
        Err(error) => error.into_response(),
    }
}

async fn pass(caller: Caller, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Whether a browser's `Origin` is a page of this machine.
pub(super) fn is_local(origin: &HeaderValue) -> bool {
    let host = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, host)| host);
    ["localhost", "127.0.0.1", "[::1]"].into_iter().any(|name| {
        let rest = host.and_then(|h| h.strip_prefix(name));
        rest.is_some_and(|port| port.is_empty() || port.starts_with(':'))
    })
}

/// Where no key is asked for, a page of the internet must not use the browser of this machine to
/// get in; browsers say where a page comes from.
fn refuse_foreign_page(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(header::ORIGIN) {
        Some(origin) if !is_local(origin) => Err(ApiError::forbidden(
            "Pages of other sites may not call this API where it needs no key.",
        )),
        _ => Ok(()),
    }
}

fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
    });
    let key = bearer.or_else(|| headers.get("x-api-key").map(|v| v.as_bytes().trim_ascii()));
    key.filter(|k| !k.is_empty())
}

#[cfg(test)]
#[path = "tests/auth.rs"]
mod tests;
