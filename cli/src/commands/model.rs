//! `trireme model`: import, inspect, ls, describe, deploy, undeploy.

use protocol::admin::{DeployModel, DeployOptions, ImportModel, List, ModelView, OperationView};
use protocol::model_spec::KvType;
use protocol::plan::ActivationType;

use super::effect::Effect;
use super::{events, inspect, operation, plan};
use crate::args::{ActivationArg, KvArg, ModelCommand, Placement, Plan};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

pub(crate) async fn run(
    command: ModelCommand,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        ModelCommand::Ls => {
            let models: List<ModelView> = client.get("/admin/v1/models").await?;
            output.list(&models)
        }
        ModelCommand::Describe { model } => {
            let view: ModelView = client.get(&format!("/admin/v1/models/{model}")).await?;
            output.describe("Model", &view)
        }
        ModelCommand::Events { model, follow } => {
            let _: ModelView = client.get(&format!("/admin/v1/models/{model}")).await?;
            events::show(client, output, Some(0), Some(&model), follow).await
        }
        ModelCommand::Inspect { path } => inspect::run(&path, output),
        ModelCommand::Import { path, name, node, wait } => {
            let path = std::path::absolute(&path).unwrap_or(path).display().to_string();
            let body = ImportModel { name, path, node };
            let started: OperationView = client.post("/admin/v1/models", &body).await?;
            let done = operation::follow(client, output, &wait, started).await?;
            output.note(&format!("imported {}", done.subject));
            Ok(())
        }
        ModelCommand::Deploy { model, options, dry_run: true, .. } => {
            plan::run(Plan { model, options, without: Vec::new() }, client, output).await
        }
        ModelCommand::Deploy { model, options, wait, dry_run: false } => {
            let body = DeployModel { model, options: options.resolve() };
            let started: OperationView = client.post("/admin/v1/deployments", &body).await?;
            let done = operation::follow(client, output, &wait, started).await?;
            output.note(&format!("{} is ready", done.subject));
            Ok(())
        }
        ModelCommand::Undeploy { model, wait, yes, dry_run } => {
            if !Effect::of_undeploy(client, &model).await?.agreed(dry_run, yes, output)? {
                return Ok(());
            }
            let path = format!("/admin/v1/deployments/{model}");
            let started: OperationView = client.delete(&path).await?;
            operation::follow(client, output, &wait, started).await?;
            output.note(&format!("{model} is not deployed any more"));
            Ok(())
        }
    }
}

impl Placement {
    pub(crate) fn resolve(&self) -> DeployOptions {
        DeployOptions {
            context_length: self.context_length,
            sequences_max: self.sequences,
            step_tokens_max: self.step_tokens,
            kv_type: self.kv.map(KvArg::resolve),
            activation: self.activation.map(ActivationArg::resolve),
            stages: self.pp,
            tp: self.tp.clone(),
            kv_bytes_max: None,
        }
    }
}

impl KvArg {
    pub(crate) fn resolve(self) -> KvType {
        match self {
            Self::F16 => KvType::F16,
            Self::F32 => KvType::F32,
            Self::Bf16 => KvType::Bf16,
            Self::Q8_0 => KvType::Q8_0,
        }
    }
}

impl ActivationArg {
    fn resolve(self) -> ActivationType {
        match self {
            Self::F32 => ActivationType::F32,
            Self::Bf16 => ActivationType::Bf16,
        }
    }
}
