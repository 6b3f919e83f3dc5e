//! Figures of a worker, and the small HTTP server that shows them.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use protocol::shard::ReplicaLoad;
use tokio::net::TcpListener;

use crate::error::WorkerError;

/// Installs the process-wide recorder and serves it at `/metrics` until the runtime ends. Where
/// another part of the process has installed one already, that one goes on alone.
pub(crate) async fn serve(address: SocketAddr) -> Result<(), WorkerError> {
    let Ok(recorder) = PrometheusBuilder::new().install_recorder() else {
        tracing::info!("another part of this process already serves metrics");
        return Ok(());
    };
    let cannot_listen =
        |e: std::io::Error| WorkerError::CannotServeMetrics { address, reason: e.to_string() };
    let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
    tokio::spawn(axum::serve(listener, routes(recorder)).into_future());
    Ok(())
}

fn routes(recorder: PrometheusHandle) -> Router {
    Router::new().route("/metrics", get(move || std::future::ready(recorder.render())))
}

/// Queue and blocks of a replica, at its head.
pub(crate) fn record_load(load: &ReplicaLoad) {
    let labels = [("replica", load.replica.to_string())];
    metrics::gauge!("trireme_sequences_running", &labels).set(load.running);
    metrics::gauge!("trireme_sequences_waiting", &labels).set(load.waiting);
    metrics::gauge!("trireme_kv_blocks_free", &labels).set(load.blocks_free);
    metrics::gauge!("trireme_kv_blocks_total", &labels).set(load.blocks_total);
}
