//! What a destructive command would do, told before it asks and with `--dry-run`.

use protocol::admin::{DeploymentView, List, ModelView, NodeView, PlanRequest, PlanView};
use protocol::control::Role;
use serde::Serialize;
use utoipa::ToSchema;

use super::confirm;
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::output::bytes::human;

/// The consequences of a command that was not run.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Effect {
    pub subject: String,
    /// A sentence each.
    pub effects: Vec<String>,
}

impl Effect {
    /// True when the command shall go on: shown and confirmed, and no dry run.
    pub(crate) fn agreed(
        &self,
        dry_run: bool,
        yes: bool,
        output: &Output,
    ) -> Result<bool, CliError> {
        if !dry_run {
            confirm(&self.sentence(), yes)?;
            return Ok(true);
        }
        self.tell(output)?;
        Ok(false)
    }

    /// What a dry run shows.
    pub(crate) fn tell(&self, output: &Output) -> Result<(), CliError> {
        if !output.for_people() {
            return output.describe("Effect", self);
        }
        self.effects.iter().for_each(|effect| output.text(effect));
        output.note("nothing was changed");
        Ok(())
    }

    pub(crate) fn sentence(&self) -> String {
        self.effects.join("; ")
    }

    pub(crate) async fn of_undeploy(client: &Client, model: &str) -> Result<Self, CliError> {
        let view: ModelView = client.get(&format!("/admin/v1/models/{model}")).await?;
        let Some(deployment) = view.deployment else {
            let why = "it has no deployment";
            let next = "see: trireme model ls";
            return Err(CliError::new(Exit::NotFound, format!("{model} is not served"), why, next));
        };
        let ranks = deployment.stages.iter().flat_map(|stage| &stage.ranks);
        let bytes: u64 = ranks.clone().map(|rank| rank.weight_bytes + rank.kv_bytes).sum();
        let names: Vec<&str> = ranks.map(|rank| rank.name.as_str()).collect();
        let mut effects = vec![format!("{model} stops answering")];
        if !names.is_empty() {
            effects.push(format!("{} become free on {}", human(bytes), names.join(", ")));
        }
        Ok(Self { subject: model.to_owned(), effects })
    }

    pub(crate) async fn of_node_rm(client: &Client, name: &str) -> Result<Self, CliError> {
        let node: NodeView = client.get(&format!("/admin/v1/nodes/{name}")).await?;
        let name = node.name.clone();
        let mut effects = vec![format!("{name} leaves the cluster for good")];
        if node.roles.contains(&Role::Worker) {
            let models: List<ModelView> = client.get("/admin/v1/models").await?;
            for deployment in models.items.into_iter().filter_map(|model| model.deployment) {
                if let Some(moved) = without(client, &node, deployment).await? {
                    effects.push(moved);
                }
            }
        }
        Ok(Self { subject: name, effects })
    }
}

/// What becomes of a deployment without the node, if it has a part on it.
async fn without(
    client: &Client,
    node: &NodeView,
    deployment: DeploymentView,
) -> Result<Option<String>, CliError> {
    let mut ranks = deployment.stages.iter().flat_map(|stage| &stage.ranks);
    if !ranks.any(|rank| rank.node == node.id) {
        return Ok(None);
    }
    let DeploymentView { model, options, .. } = deployment;
    let body = PlanRequest { model: model.clone(), options, without: vec![node.name.clone()] };
    // A plan of exactly as many stages may be impossible with one node fewer: then it is told so.
    let plan: PlanView = client.post("/admin/v1/plan", &body).await?;
    Ok(Some(match plan.fits {
        true => format!("{model} moves: {}", plan.summary),
        false => format!("{model} is planned anew, and as it was asked for: {}", plan.summary),
    }))
}
