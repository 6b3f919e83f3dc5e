//! What a coordinator tells of the cluster.

use std::time::SystemTime;

use protocol::admin::{
    ClusterStatus, DeploymentState, DeploymentView, List, ModelView, NodeView, OperationState,
    OperationView,
};
use protocol::control::Role;

use crate::args::Global;
use crate::client::Client;
use crate::doctor::facts::{Cluster, Deployed, Model, Node, Operation, Profile};
use crate::error::CliError;

/// What a deployment without a word on it gets, at most.
const CONTEXT_UNASKED: u32 = 8192;

pub(super) async fn ask(global: &Global) -> Result<Cluster, CliError> {
    let client = Client::new(global)?;
    let status: ClusterStatus = client.get("/admin/v1/cluster").await?;
    let nodes: List<NodeView> = client.get("/admin/v1/nodes").await?;
    let models: List<ModelView> = client.get("/admin/v1/models").await?;
    // A neighbouring version may not list them.
    let operations = client.get::<List<OperationView>>("/admin/v1/operations").await;
    let operations = operations.map(|list| list.items).unwrap_or_default();
    let running = operations.into_iter().filter(|o| o.state == OperationState::Running);
    Ok(Cluster {
        api: client.api().to_owned(),
        clock_ahead_seconds: clock_ahead(&client).await,
        has_quorum: status.has_quorum,
        coordinators: status.coordinators.len(),
        nodes: nodes.items.into_iter().map(node).collect(),
        models: models.items.into_iter().map(model).collect(),
        operations: running.map(operation).collect(),
    })
}

/// From the `Date` of an answer, to half a second.
async fn clock_ahead(client: &Client) -> Option<f64> {
    let date = client.date().await?;
    let there = date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64() + 0.5;
    let here = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64();
    Some(here - there)
}

fn node(view: NodeView) -> Node {
    let profile = view.profile.map(|profile| Profile {
        usable_bytes: profile.devices.iter().map(|d| d.memory_usable_bytes).sum(),
        unified: profile.devices.iter().any(|d| d.gpu.as_ref().is_some_and(|g| g.unified_memory)),
        version: profile.version,
        hostname: profile.hostname,
        host: profile.host,
        links: profile.links,
    });
    Node {
        id: view.id,
        name: view.name,
        is_worker: view.roles.contains(&Role::Worker),
        state: view.state,
        reason: view.reason,
        since: view.since,
        profile,
    }
}

fn model(view: ModelView) -> Model {
    let own = view.spec.context_length;
    Model {
        name: view.name,
        weight_bytes: view.weight_bytes,
        holders: view.holders,
        context_own: own,
        deployed: view.deployment.map(|deployment| deployed(deployment, own)),
    }
}

fn deployed(view: DeploymentView, own: u32) -> Deployed {
    Deployed {
        is_ready: view.state == DeploymentState::Ready,
        state: format!("{:?}", view.state).to_lowercase(),
        reason: view.reason,
        since: view.since,
        context: view.options.context_length.unwrap_or(own.min(CONTEXT_UNASKED)),
    }
}

fn operation(view: OperationView) -> Operation {
    let what = format!("{} {}", view.kind, view.subject);
    Operation { id: view.id, what, note: view.note, started_at: view.started_at }
}
