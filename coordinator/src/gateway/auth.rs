//! Who is calling: API keys in either header, compared in constant time on their hash.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use protocol::admin::KeyRole;
use protocol::ids::Digest;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::directory::Directory;
use super::error::ApiError;

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

/// Put into the extensions of every request that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Name of the key; `local` where none is needed.
    pub name: String,
    pub role: KeyRole,
}

impl Auth {
    /// The caller, or why it is nobody.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        if self.policy == KeyPolicy::Open {
            return Ok(Caller { name: "local".into(), role: KeyRole::Admin });
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
        match keys.get(usize::try_from(found).unwrap_or(usize::MAX)) {
            Some(key) => Ok(Caller { name: key.name.clone(), role: key.role }),
            None => Err(ApiError::unauthorized("Incorrect API key.")),
        }
    }

    pub fn admin(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let caller = self.caller(headers)?;
        if caller.role != KeyRole::Admin {
            return Err(ApiError::forbidden(format!(
                "The key `{}` has the role user; this needs the role admin.",
                caller.name
            )));
        }
        Ok(caller)
    }
}

/// Middleware: any valid key passes.
pub async fn require_user(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let caller = auth.caller(request.headers());
    pass(caller, request, next).await
}

/// Middleware: only admin keys pass.
pub async fn require_admin(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let caller = auth.admin(request.headers());
    pass(caller, request, next).await
}

async fn pass(caller: Result<Caller, ApiError>, mut request: Request, next: Next) -> Response {
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
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
