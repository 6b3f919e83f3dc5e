//! The cluster's CA: which one signs, who uses what, and the change to the next.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use protocol::admin::{CaStatus, FinishCaRotation, MemberCertificate, RotateCa};
use protocol::identity::CaFingerprint;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::asker::Asker;
use super::error::{AdminError, Failures, body};
use crate::identity::{RotationError, next_ca};
use crate::state::{self, Change, IdentityChange, Timestamp};

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(rotate)).routes(routes!(finish))
}

/// Which CA signs, and which certificate each member uses.
#[utoipa::path(
    get, path = "/admin/v1/cluster/ca", tag = "ca",
    responses((status = 200, description = "As it stands.", body = CaStatus), Failures),
)]
pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Result<Json<CaStatus>, AdminError> {
    Ok(Json(view(&admin.state())?))
}

/// Make a new CA that signs from now on; what the old one signed stays good until `finish`.
#[utoipa::path(
    post, path = "/admin/v1/cluster/ca/rotate", tag = "ca", request_body = RotateCa,
    responses((status = 200, description = "The change has begun.", body = CaStatus), Failures),
)]
pub(super) async fn rotate(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    bytes: Bytes,
) -> Result<Json<CaStatus>, AdminError> {
    let RotateCa {} = body(&bytes)?;
    if let Some(rotation) = &admin.state().identity.rotation {
        return Err(rotation.under_way().into());
    }
    let next = next_ca(&admin.authority, &admin.consensus, &admin.tls).await;
    let change = next.map_err(|error| match error {
        RotationError::NotTaken { .. } => AdminError::precondition(error.to_string())
            .hint("start it, or remove it for good: trireme node rm NODE"),
        RotationError::Identity(_) => AdminError::precondition(error.to_string()),
    })?;
    admin.propose(&asker, change).await?;
    Ok(Json(view(&admin.state())?))
}

/// Trust the old CA no longer; refused while a member still uses a certificate of it.
#[utoipa::path(
    post, path = "/admin/v1/cluster/ca/finish", tag = "ca", request_body = FinishCaRotation,
    responses((status = 200, description = "The change is over.", body = CaStatus), Failures),
)]
pub(super) async fn finish(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    bytes: Bytes,
) -> Result<Json<CaStatus>, AdminError> {
    let FinishCaRotation { force } = body(&bytes)?;
    let current = fingerprint(&admin.state().ca_pem)?;
    let change = IdentityChange::FinishCaRotation { current, force };
    admin.propose(&asker, Change::Identity(change)).await?;
    Ok(Json(view(&admin.state())?))
}

fn view(state: &state::State) -> Result<CaStatus, AdminError> {
    let current = fingerprint(&state.ca_pem)?;
    let rotation = state.identity.rotation.as_ref();
    let previous = rotation.map(|r| fingerprint(&r.previous_pem)).transpose()?;
    let member = |node, name: &str| {
        let known = state.identity.certificates.get(node);
        let ca = match known.and_then(|certificate| certificate.ca) {
            Some(ca) if ca == current => "current",
            Some(ca) if Some(ca) == previous => "previous",
            _ => "unknown",
        };
        MemberCertificate {
            node: name.to_owned(),
            ca: ca.to_owned(),
            expires_at: known.map(|c| Timestamp(c.expires_at * 1000).to_string()),
        }
    };
    let mut members: Vec<_> =
        state.members.iter().map(|(node, known)| member(node, &known.name)).collect();
    members.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(CaStatus {
        current: current.to_string(),
        previous: previous.map(|ca| ca.to_string()),
        changing_since: rotation.map(|r| r.started_at.to_string()),
        ca_pem: state.trusted_ca_pem(),
        members,
    })
}

fn fingerprint(ca_pem: &str) -> Result<CaFingerprint, AdminError> {
    CaFingerprint::of_pem(ca_pem).map_err(|error| AdminError::precondition(error.to_string()))
}
