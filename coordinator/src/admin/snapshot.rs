//! The cluster's snapshot, from whichever coordinator is asked.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::asker::Asker;
use super::error::{AdminError, Failures};
use crate::backup;
use crate::raft::wall_clock;
use crate::state::{Change, SnapshotChange};

/// This coordinator's copy may be behind the leader's.
const CATCH_UP: Duration = Duration::from_secs(10);
const CHUNK_BYTES: usize = 64 << 10;

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(take))
}

/// Take a snapshot: the state as the leader has it now and the CA, sealed to the recovery key.
#[utoipa::path(
    post, path = "/admin/v1/snapshot", tag = "cluster",
    responses(
        (status = 200, description = "The file.", body = Vec<u8>,
         content_type = "application/octet-stream"),
        Failures,
    ),
)]
pub(super) async fn take(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
) -> Result<Response, AdminError> {
    let id = asker.operation();
    admin.propose(&asker, Change::Snapshot(SnapshotChange::Take { id: id.clone() })).await?;
    let mut states = admin.consensus.watch_state();
    let holds = states.wait_for(|s| s.snapshots.last_taken.as_ref().is_some_and(|t| t.id == id));
    let state = match tokio::time::timeout(CATCH_UP, holds).await {
        Ok(Ok(state)) => Arc::clone(&state),
        _ => {
            let message = format!("not caught up within {} s", CATCH_UP.as_secs());
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(AdminError::new(status, "unavailable", message)
                .hint("ask another coordinator: --api URL"));
        }
    };
    let ca = admin.authority.signing();
    let sealing = tokio::task::spawn_blocking(move || backup::seal(&state, &ca, wall_clock()));
    let failed = |error: String| {
        AdminError::new(StatusCode::INTERNAL_SERVER_ERROR, "snapshot_failed", error)
    };
    let file = sealing.await.map_err(|e| failed(e.to_string()))?;
    let file = Bytes::from(file.map_err(|error| failed(error.to_string()))?);
    let pieces: Vec<_> = (0..file.len())
        .step_by(CHUNK_BYTES)
        .map(|at| Ok::<_, std::io::Error>(file.slice(at..file.len().min(at + CHUNK_BYTES))))
        .collect();
    let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((headers, Body::from_stream(futures::stream::iter(pieces))).into_response())
}
