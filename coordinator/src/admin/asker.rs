//! Who asks for a change, and under which id: so that asking again changes nothing twice.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use ulid::Ulid;

use super::error::AdminError;
use crate::gateway::auth::{Caller, LOCAL};
use crate::state::Actor;

const REQUEST_HEADER: &str = "idempotency-key";
const REQUEST_CHARS_MAX: usize = 128;

/// An argument of every handler that changes something.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) actor: Actor,
    /// The client's `Idempotency-Key`, with its owner: no two clients share one.
    pub(crate) request: Option<String>,
}

impl Asker {
    /// A new operation's id; the same for the same request, so that asking again finds the
    /// operation that it started.
    pub(crate) fn operation(&self) -> String {
        let Some(request) = &self.request else { return Ulid::new().to_string() };
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&blake3::hash(request.as_bytes()).as_bytes()[..16]);
        Ulid::from_bytes(bytes).to_string()
    }
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AdminError> {
        let caller = parts.extensions.get::<Caller>();
        let caller = caller.ok_or_else(|| AdminError::forbidden("nobody knows who is asking"))?;
        let actor = match caller.name.as_str() {
            LOCAL => Actor::Local,
            name => Actor::Key { name: name.to_owned(), role: caller.role },
        };
        let Some(id) = parts.headers.get(REQUEST_HEADER) else {
            return Ok(Self { actor, request: None });
        };
        let usable = |id: &&str| {
            (1..=REQUEST_CHARS_MAX).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic())
        };
        let id = id.to_str().ok().filter(usable).ok_or_else(|| {
            let most = REQUEST_CHARS_MAX;
            AdminError::invalid(format!("Idempotency-Key is not 1 to {most} visible characters"))
        })?;
        let request = Some(format!("{actor}/{id}"));
        Ok(Self { actor, request })
    }
}
