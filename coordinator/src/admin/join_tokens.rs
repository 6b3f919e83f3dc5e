//! Join tokens: made, listed, taken back; only their hashes are known here.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use protocol::admin::{JoinTokenCreated, JoinTokenView, List, NewJoinToken};
use protocol::identity::JoinToken;
use protocol::ids::Digest;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asker::Asker;
use super::error::{AdminError, Failures, body};
use super::{Admin, views};
use crate::state::{self, Change, IdentityChange, Setting, Timestamp};

/// Longest life of a token, 30 days: one that lies about for longer is a key to the cluster.
const TTL_SECONDS_MAX: u64 = Setting::JoinTokenTtl.facts().max.as_secs();
const USES_MAX: u32 = 1000;

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(remove))
}

/// Make a token with which machines join; it is shown once.
#[utoipa::path(
    post, path = "/admin/v1/join-tokens", tag = "join-tokens", request_body = NewJoinToken,
    responses((status = 200, description = "The token.", body = JoinTokenCreated), Failures),
)]
pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    bytes: Bytes,
) -> Result<Json<JoinTokenCreated>, AdminError> {
    let asked: NewJoinToken = body(&bytes)?;
    let state = admin.state();
    let set = || state.settings.value(Setting::JoinTokenTtl).as_secs();
    let ttl_seconds = asked.ttl_seconds.unwrap_or_else(set);
    if !(1..=TTL_SECONDS_MAX).contains(&ttl_seconds) {
        let message =
            format!("ttlSeconds is {ttl_seconds}, expected 1 to {TTL_SECONDS_MAX} (30 days)");
        return Err(AdminError::invalid(message));
    }
    if !(1..=USES_MAX).contains(&asked.uses) {
        let message = format!("uses is {}, expected 1 to {USES_MAX}", asked.uses);
        return Err(AdminError::invalid(message));
    }
    let addresses: Vec<_> = state.coordinators().into_iter().map(|c| c.address).take(16).collect();
    let token = JoinToken::new(admin.authority.fingerprint(), addresses)
        .map_err(|error| AdminError::precondition(error.to_string()))?;
    let hash = token.secret.hash();
    let NewJoinToken { role, uses, rotate, .. } = asked;
    admin.propose(&asker, Change::AddJoinToken { hash, role, ttl_seconds, uses }).await?;
    if rotate {
        let old = state.tokens.iter().filter(|(_, t)| t.role == role && !t.revoked);
        let hashes: Vec<_> = old.map(|(hash, _)| *hash).collect();
        // A change of its own, so under an id of its own.
        let request = asker.request.map(|request| format!("{request}/rotate"));
        let asker = Asker { request, ..asker };
        admin.propose(&asker, Change::Identity(IdentityChange::RevokeTokens { hashes })).await?;
    }
    let kept = admin.state().tokens.get(&hash).map(|t| t.expires_at.to_string());
    let expires_at =
        kept.unwrap_or_else(|| crate::raft::wall_clock().plus_seconds(ttl_seconds).to_string());
    Ok(Json(JoinTokenCreated { token: token.to_string(), expires_at }))
}

/// The tokens that were made, without their secrets.
#[utoipa::path(
    get, path = "/admin/v1/join-tokens", tag = "join-tokens",
    responses((status = 200, description = "As they are.", body = List<JoinTokenView>), Failures),
)]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<List<JoinTokenView>> {
    let (state, now) = (admin.state(), crate::raft::wall_clock());
    let items = state.tokens.iter().map(|(hash, token)| view(hash, token, now)).collect();
    Json(views::list("JoinTokenList", items))
}

/// Take a token back: it lets nobody in any more.
#[utoipa::path(
    delete, path = "/admin/v1/join-tokens/{id}", tag = "join-tokens",
    params(("id" = String, Path, description = "Its id, as listed.")),
    responses((status = 200, description = "As it is now.", body = JoinTokenView), Failures),
)]
pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<JoinTokenView>, AdminError> {
    let found: Vec<Digest> =
        admin.state().tokens.keys().filter(|h| h.to_string().starts_with(&id)).copied().collect();
    let [hash] = found[..] else {
        let message = format!("{} join tokens have the id `{id}`", found.len());
        return Err(AdminError::not_found(message).hint("trireme cluster join-token ls"));
    };
    let change = IdentityChange::RevokeTokens { hashes: vec![hash] };
    admin.propose(&asker, Change::Identity(change)).await?;
    let state = admin.state();
    let token = state.tokens.get(&hash);
    let token = token.ok_or_else(|| AdminError::not_found("the join token is gone"))?;
    Ok(Json(view(&hash, token, crate::raft::wall_clock())))
}

fn view(hash: &Digest, token: &state::JoinToken, now: Timestamp) -> JoinTokenView {
    let state = match token {
        t if t.revoked => "taken back",
        t if t.expires_at <= now => "expired",
        t if t.uses_left == 0 => "used up",
        _ => "valid",
    };
    JoinTokenView {
        id: hash.short(),
        role: token.role,
        state: state.to_owned(),
        uses_left: token.uses_left,
        expires_at: token.expires_at.to_string(),
    }
}
