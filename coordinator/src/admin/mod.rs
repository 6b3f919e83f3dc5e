//! `/admin/v1`: what the CLI and the page ask of a coordinator. Every coordinator answers: reads
//! from its own copy of the state and its own heartbeats, changes through the leader.

mod cluster;
mod deployments;
mod error;
mod keys;
mod models;
mod nodes;
mod operations;
mod views;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{delete, get, post};
use protocol::identity::CaFingerprint;
use tokio::sync::watch;
use ulid::Ulid;

use self::error::AdminError;
use crate::nodes::WorkerRegistry;
use crate::raft::{Consensus, wall_clock};
use crate::reconcile::LiveView;
use crate::state::{Change, Outcome, State, Timestamp};

/// What the handlers share.
pub struct Admin {
    pub(crate) consensus: Arc<Consensus>,
    pub(crate) registry: Arc<WorkerRegistry>,
    pub(crate) view: watch::Receiver<Arc<LiveView>>,
    /// Origin of the times in `view`.
    pub(crate) origin: Instant,
    pub(crate) ca: CaFingerprint,
}

/// The routes; who may call them is the caller's to check.
pub fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/admin/v1/cluster", get(cluster::status))
        .route("/admin/v1/join-tokens", post(cluster::create_join_token))
        .route("/admin/v1/nodes", get(nodes::list))
        .route("/admin/v1/nodes/{node}", get(nodes::show).delete(nodes::remove))
        .route("/admin/v1/models", get(models::list).post(models::import))
        .route("/admin/v1/models/{*model}", get(models::show))
        .route("/admin/v1/plan", post(deployments::plan))
        .route("/admin/v1/deployments", post(deployments::deploy))
        .route("/admin/v1/deployments/{*model}", delete(deployments::undeploy))
        .route("/admin/v1/keys", get(keys::list).post(keys::create))
        .route("/admin/v1/operations/{id}", get(operations::show))
        .with_state(admin)
}

impl Admin {
    fn state(&self) -> Arc<State> {
        self.consensus.state()
    }

    fn live(&self) -> Arc<LiveView> {
        Arc::clone(&self.view.borrow())
    }

    async fn propose(&self, change: Change) -> Result<Outcome, AdminError> {
        Ok(self.consensus.propose(change).await?)
    }

    /// A moment of the live view as wall time.
    fn wall(&self, moment: Duration) -> Timestamp {
        let ago = self.origin.elapsed().saturating_sub(moment);
        Timestamp(wall_clock().0.saturating_sub(ago.as_millis() as u64))
    }
}

fn new_operation() -> String {
    Ulid::new().to_string()
}
