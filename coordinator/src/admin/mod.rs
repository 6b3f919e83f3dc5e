//! `/admin/v1`: what the CLI and the page ask of a coordinator. Every coordinator answers: reads
//! from its own copy of the state and its own heartbeats, changes through the leader.

mod asker;
mod audit;
mod ca;
mod cluster;
mod coordinators;
mod deployments;
mod destruction;
mod duty;
mod error;
mod events;
mod freshness;
mod join_tokens;
mod keys;
mod models;
mod nodes;
mod openapi;
mod operations;
mod questions;
mod settings;
mod snapshot;
mod views;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::middleware::from_fn_with_state;
use protocol::log_ring::LogRing;
use protocol::transport::NodeTls;
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;

use self::asker::Asker;
use self::error::AdminError;
use crate::identity::Authority;
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
    pub(crate) authority: Arc<Authority>,
    /// To give a new CA to the other coordinators, or to ask them.
    pub(crate) tls: NodeTls,
    pub(crate) log: LogRing,
}

/// The routes, with their own description at `/admin/v1/openapi.json`; who may call them is the
/// caller's to check.
pub fn router(admin: Arc<Admin>) -> Router {
    let (router, described) = routes().split_for_parts();
    let document = openapi::document(described);
    router
        .merge(openapi::route(&document))
        .layer(from_fn_with_state(Arc::clone(&admin), freshness::stamp))
        .with_state(admin)
}

/// Each topic's file holds its handlers, each with its description: a new route is in the document
/// because there is no other way to be in the router.
fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .merge(cluster::routes())
        .merge(settings::routes())
        .merge(destruction::routes())
        .merge(join_tokens::routes())
        .merge(ca::routes())
        .merge(coordinators::routes())
        .merge(nodes::routes())
        .merge(duty::routes())
        .merge(questions::routes())
        .merge(models::routes())
        .merge(deployments::routes())
        .merge(keys::routes())
        .merge(audit::routes())
        .merge(operations::routes())
        .merge(events::routes())
        .merge(snapshot::routes())
}

impl Admin {
    fn state(&self) -> Arc<State> {
        self.consensus.state()
    }

    fn live(&self) -> Arc<LiveView> {
        Arc::clone(&self.view.borrow())
    }

    async fn propose(&self, asker: &Asker, change: Change) -> Result<Outcome, AdminError> {
        let Asker { actor, request } = asker.clone();
        Ok(self.consensus.propose_by(actor, request, change).await?)
    }

    /// A moment of the live view as wall time.
    fn wall(&self, moment: Duration) -> Timestamp {
        let ago = self.origin.elapsed().saturating_sub(moment);
        Timestamp(wall_clock().0.saturating_sub(ago.as_millis() as u64))
    }
}
