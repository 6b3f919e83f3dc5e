//! The cluster as a whole, and the tokens that open its door.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use protocol::admin::{ClusterStatus, JoinTokenCreated, NewJoinToken, NodeState};
use protocol::identity::JoinToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asker::Asker;
use super::error::{AdminError, Failures, body};
use super::{Admin, views};
use crate::state::Change;

const TTL_SECONDS_MAX: u64 = 30 * 86_400;
const USES_MAX: u32 = 1000;

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(create_join_token))
}

/// How the cluster is: leader, quorum, nodes, deployments.
#[utoipa::path(
    get, path = "/admin/v1/cluster", tag = "cluster",
    responses((status = 200, description = "As it stands.", body = ClusterStatus), Failures),
)]
pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Json<ClusterStatus> {
    let (state, live, raft) = (admin.state(), admin.live(), admin.consensus.status());
    let ready = live.nodes.values().filter(|n| n.state == NodeState::Ready).count();
    let deployments = state.deployments.iter();
    Json(ClusterStatus {
        name: state.cluster.clone(),
        this_node: admin.consensus.own(),
        leader: raft.leader,
        term: raft.term,
        commit_index: raft.commit_index,
        has_quorum: raft.has_quorum,
        coordinators: state.coordinators(),
        nodes: state.workers().count() as u32,
        nodes_ready: ready as u32,
        deployments: deployments
            .map(|(name, d)| views::deployment(&state, &live, name, d))
            .collect(),
    })
}

/// Make a token with which machines join; it is shown once.
#[utoipa::path(
    post, path = "/admin/v1/join-tokens", tag = "cluster", request_body = NewJoinToken,
    responses((status = 200, description = "The token.", body = JoinTokenCreated), Failures),
)]
pub(super) async fn create_join_token(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    bytes: Bytes,
) -> Result<Json<JoinTokenCreated>, AdminError> {
    let asked: NewJoinToken = body(&bytes)?;
    if !(1..=TTL_SECONDS_MAX).contains(&asked.ttl_seconds) {
        let found = asked.ttl_seconds;
        let message = format!("ttlSeconds is {found}, expected 1 to {TTL_SECONDS_MAX}");
        return Err(AdminError::invalid(message));
    }
    if !(1..=USES_MAX).contains(&asked.uses) {
        let message = format!("uses is {}, expected 1 to {USES_MAX}", asked.uses);
        return Err(AdminError::invalid(message));
    }
    let addresses: Vec<_> =
        admin.state().coordinators().into_iter().map(|c| c.address).take(16).collect();
    let token = JoinToken::new(admin.ca, addresses)
        .map_err(|error| AdminError::precondition(error.to_string()))?;
    let hash = token.secret.hash();
    let NewJoinToken { role, ttl_seconds, uses } = asked;
    admin.propose(&asker, Change::AddJoinToken { hash, role, ttl_seconds, uses }).await?;
    let kept = admin.state().tokens.get(&hash).map(|t| t.expires_at.to_string());
    let expires_at =
        kept.unwrap_or_else(|| crate::raft::wall_clock().plus_seconds(ttl_seconds).to_string());
    Ok(Json(JoinTokenCreated { token: token.to_string(), expires_at }))
}
