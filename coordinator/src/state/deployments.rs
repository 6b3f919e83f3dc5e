//! What shall run: per model one replica, its plan, its epoch and how far its rollout is.

use protocol::admin::{DeployOptions, DeploymentState};
use protocol::ids::{Digest, Epoch, ReplicaId};
use protocol::plan::Plan;
use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, Refusal, RefusalCode};
use super::timestamp::Timestamp;
use super::{Applying, OperationEnd, State, level};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub manifest: Digest,
    pub options: DeployOptions,
    pub replica: ReplicaId,
    /// The last plan that was committed; kept while degraded, so that weights stay loaded.
    pub placement: Option<Placement>,
    pub rollout: Rollout,
    /// The `deploy` operation that ends with the rollout.
    pub operation: Option<String>,
    /// It was ready once.
    #[serde(default)]
    pub served: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Log index of the command that committed the plan.
    pub epoch: Epoch,
    pub plan: Plan,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    pub state: DeploymentState,
    pub reason: String,
    pub missing_bytes: u64,
    pub since: Timestamp,
}

impl Deployment {
    pub fn epoch(&self) -> Option<Epoch> {
        self.placement.as_ref().map(|p| p.epoch)
    }
}

impl State {
    pub fn replica(&self, replica: ReplicaId) -> Option<(&String, &Deployment)> {
        self.deployments.iter().find(|(_, d)| d.replica == replica)
    }

    pub(super) fn deploy(
        &mut self,
        model: &str,
        options: DeployOptions,
        operation: String,
    ) -> Result<Outcome, Refusal> {
        let known = self.models.get(model).ok_or_else(|| Refusal::no_model(model))?;
        let manifest = known.manifest;
        if let Some(present) = self.deployments.get_mut(model) {
            if present.options != options {
                return Err(Refusal::new(
                    RefusalCode::Precondition,
                    format!("`{model}` is deployed with other options"),
                    format!("first: trireme model undeploy {model}"),
                ));
            }
            let replica = present.replica;
            if present.rollout.state == DeploymentState::Ready {
                self.end_operation(&operation, OperationEnd::Done("already deployed".into()));
            } else {
                present.operation = Some(operation);
            }
            return Ok(Outcome::Deployed { replica });
        }
        self.last_replica += 1;
        let replica = ReplicaId(self.last_replica);
        let rollout = Rollout {
            state: DeploymentState::Starting,
            reason: "waiting for a plan".into(),
            missing_bytes: 0,
            since: self.clock,
        };
        let operation = Some(operation);
        let placement = None;
        let deployment =
            Deployment { manifest, options, replica, placement, rollout, operation, served: false };
        self.deployments.insert(model.to_owned(), deployment);
        Ok(Outcome::Deployed { replica })
    }

    pub(super) fn undeploy(&mut self, model: &str, operation: &str) -> Result<Outcome, Refusal> {
        let Some(gone) = self.deployments.remove(model) else {
            let message = format!("`{model}` is not deployed");
            return Err(Refusal::new(RefusalCode::NotFound, message, "trireme model ls"));
        };
        if let Some(deploy) = &gone.operation {
            self.end_operation(deploy, OperationEnd::Failed("it was undeployed".into()));
        }
        self.end_operation(operation, OperationEnd::Done(format!("{model} no longer runs")));
        Ok(Outcome::Done)
    }

    pub(super) fn place_plan(
        &mut self,
        applying: Applying,
        replica: ReplicaId,
        expected: Option<Epoch>,
        plan: Plan,
    ) -> Result<Outcome, Refusal> {
        let clock = self.clock;
        for node in plan.nodes() {
            if !self.members.contains_key(&node) {
                return Err(Refusal::stale(format!("node {} is not a member", node.short())));
            }
        }
        let deployment = self.deployment_of(replica, expected)?;
        let epoch = Epoch(applying.index);
        deployment.placement = Some(Placement { epoch, plan });
        let reason = "weights travel or load".to_owned();
        deployment.rollout =
            Rollout { state: DeploymentState::Starting, reason, missing_bytes: 0, since: clock };
        Ok(Outcome::Placed { epoch })
    }

    pub(super) fn set_rollout(
        &mut self,
        replica: ReplicaId,
        epoch: Option<Epoch>,
        state: DeploymentState,
        reason: String,
        missing_bytes: u64,
    ) -> Result<Outcome, Refusal> {
        let clock = self.clock;
        // The first level knows no such note: its snapshots have none.
        let notes_service = self.level > level::FIRST;
        let deployment = self.deployment_of(replica, epoch)?;
        let since =
            if deployment.rollout.state == state { deployment.rollout.since } else { clock };
        deployment.rollout = Rollout { state, reason: reason.clone(), missing_bytes, since };
        deployment.served |= notes_service && state == DeploymentState::Ready;
        let end = match state {
            DeploymentState::Starting => return Ok(Outcome::Done),
            DeploymentState::Ready => OperationEnd::Done("ready".into()),
            DeploymentState::Degraded | DeploymentState::Failed => OperationEnd::Failed(reason),
        };
        if let Some(operation) = deployment.operation.take() {
            self.end_operation(&operation, end);
        }
        Ok(Outcome::Done)
    }

    /// Nothing of the replica stays loaded; a plan is made again when one fits.
    pub(super) fn stop_replica(
        &mut self,
        replica: ReplicaId,
        expected: Option<Epoch>,
        reason: String,
        missing_bytes: u64,
    ) -> Result<Outcome, Refusal> {
        self.set_rollout(replica, expected, DeploymentState::Degraded, reason, missing_bytes)?;
        self.deployment_of(replica, expected)?.placement = None;
        Ok(Outcome::Done)
    }

    fn deployment_of(
        &mut self,
        replica: ReplicaId,
        epoch: Option<Epoch>,
    ) -> Result<&mut Deployment, Refusal> {
        let found = self.deployments.values_mut().find(|d| d.replica == replica);
        let Some(deployment) = found else {
            return Err(Refusal::stale(format!("replica {replica} is gone")));
        };
        if deployment.epoch() != epoch {
            return Err(Refusal::stale(format!("replica {replica} has another epoch by now")));
        }
        Ok(deployment)
    }
}
