//! Who may call what: every route of the admin and client API against every role.
//!
//! A new route needs a line here, with the path as its router has it (`{name}`, `{*model}`), else
//! nobody may call it: what is not in the table is refused to every role. `rights/tests.rs` goes
//! through the table against the running API and through the admin API's document against the
//! table.

use axum::http::Method;
use protocol::admin::KeyRole;
use protocol::admin::KeyRole::{Admin, Auditor, Operator, User, Viewer};

/// One route and the roles that may call it.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    pub method: &'static str,
    pub path: &'static str,
    pub roles: &'static [KeyRole],
}

/// Secrets of the cluster and who gets in.
const OWN: &[KeyRole] = &[Admin];
/// What changes how the cluster runs.
const RUN: &[KeyRole] = &[Admin, Operator];
/// What shows how the cluster is.
const SEE: &[KeyRole] = &[Admin, Operator, Viewer, Auditor];
/// What people did, and with which keys.
const AUDIT: &[KeyRole] = &[Admin, Auditor];
/// What asks a model.
const ASK: &[KeyRole] = &[Admin, Operator, User];
const ALL: &[KeyRole] = &KeyRole::ALL;

/// Paths of the client API stand without the `/v1` in front, with which they are served as well.
pub const RIGHTS: &[Right] = &[
    right("POST", "/chat/completions", ASK),
    right("POST", "/completions", ASK),
    right("GET", "/models", ALL),
    right("GET", "/models/{*id}", ALL),
    right("GET", "/metrics", SEE),
    right("GET", "/admin/v1/openapi.json", ALL),
    right("GET", "/admin/v1/cluster", SEE),
    right("GET", "/admin/v1/cluster/config", SEE),
    right("PATCH", "/admin/v1/cluster/config", OWN),
    right("POST", "/admin/v1/cluster/destroy", OWN),
    right("GET", "/admin/v1/cluster/ca", SEE),
    right("POST", "/admin/v1/cluster/ca/rotate", OWN),
    right("POST", "/admin/v1/cluster/ca/finish", OWN),
    right("GET", "/admin/v1/cluster/members", SEE),
    right("PUT", "/admin/v1/cluster/members/{node}/vote", OWN),
    right("DELETE", "/admin/v1/cluster/members/{node}", OWN),
    right("POST", "/admin/v1/snapshot", OWN),
    right("GET", "/admin/v1/join-tokens", OWN),
    right("POST", "/admin/v1/join-tokens", OWN),
    right("DELETE", "/admin/v1/join-tokens/{id}", OWN),
    right("GET", "/admin/v1/nodes", SEE),
    right("GET", "/admin/v1/nodes/{node}", SEE),
    right("DELETE", "/admin/v1/nodes/{node}", RUN),
    right("PATCH", "/admin/v1/nodes/{node}/labels", RUN),
    right("POST", "/admin/v1/nodes/{node}/cordon", RUN),
    right("POST", "/admin/v1/nodes/{node}/uncordon", RUN),
    right("GET", "/admin/v1/nodes/{node}/drain", SEE),
    right("POST", "/admin/v1/nodes/{node}/drain", RUN),
    right("GET", "/admin/v1/nodes/{node}/logs", RUN),
    right("POST", "/admin/v1/nodes/{node}/check", RUN),
    right("GET", "/admin/v1/models", SEE),
    right("POST", "/admin/v1/models", RUN),
    right("GET", "/admin/v1/models/{*model}", SEE),
    right("POST", "/admin/v1/plan", SEE),
    right("POST", "/admin/v1/deployments", RUN),
    right("DELETE", "/admin/v1/deployments/{*model}", RUN),
    right("GET", "/admin/v1/keys", AUDIT),
    right("POST", "/admin/v1/keys", OWN),
    right("GET", "/admin/v1/keys/{key}", AUDIT),
    right("PATCH", "/admin/v1/keys/{key}", OWN),
    right("DELETE", "/admin/v1/keys/{key}", OWN),
    right("POST", "/admin/v1/keys/{key}/rotate", OWN),
    right("GET", "/admin/v1/audit", AUDIT),
    right("GET", "/admin/v1/operations", SEE),
    right("GET", "/admin/v1/operations/{id}", SEE),
    right("POST", "/admin/v1/operations/{id}/cancel", RUN),
    right("GET", "/admin/v1/events", SEE),
];

const fn right(method: &'static str, path: &'static str, roles: &'static [KeyRole]) -> Right {
    Right { method, path, roles }
}

/// The roles that may call a route, as the router matched it; none for a route without a line.
pub fn roles(method: &Method, matched: &str) -> &'static [KeyRole] {
    // A GET route answers HEAD as well.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let path = matched.strip_prefix("/v1").unwrap_or(matched);
    let mut of_path = RIGHTS.iter().filter(|r| r.path == path).peekable();
    // The router itself says which methods a path has: an admin gets to hear it.
    let others: &[KeyRole] = if of_path.peek().is_some() { OWN } else { &[] };
    of_path.find(|r| r.method == method).map_or(others, |r| r.roles)
}

#[cfg(test)]
mod tests;
