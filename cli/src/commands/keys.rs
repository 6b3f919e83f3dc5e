//! `trireme keys`: create, ls, describe, update, rotate, revoke.

use protocol::admin::{
    KeyCreated, KeyLimits, KeyRole, KeyView, List, NewKey, RotateKey, UpdateKey,
};

use super::confirm;
use crate::args::{KeyLimitsArgs, KeyRoleArg, KeysCommand};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

pub(crate) async fn run(
    command: KeysCommand,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        KeysCommand::Ls => {
            let keys: List<KeyView> = client.get("/admin/v1/keys").await?;
            output.list(&keys)
        }
        KeysCommand::Describe { name } => {
            let view: KeyView = client.get(&path(&name)).await?;
            output.describe("Key", &view)
        }
        KeysCommand::Create { name, role, limits } => {
            let KeyLimitsArgs { models, rpm, tpm, budget, expires } = limits;
            let some = |limit: Option<u64>| limit.filter(|n| *n > 0);
            let limits = KeyLimits {
                models: models.unwrap_or_default(),
                requests_per_minute: some(rpm),
                tokens_per_minute: some(tpm),
                tokens_per_month: some(budget),
            };
            let body = NewKey { name, role: role.resolve(), limits, expires_in_seconds: expires };
            show_once(&client.post("/admin/v1/keys", &body).await?, output)
        }
        KeysCommand::Update { name, role, limits, all_models } => {
            let KeyLimitsArgs { models, rpm, tpm, budget, expires } = limits;
            let update = UpdateKey {
                role: role.map(KeyRoleArg::resolve),
                models: if all_models { Some(Vec::new()) } else { models },
                requests_per_minute: rpm,
                tokens_per_minute: tpm,
                tokens_per_month: budget,
                expires_in_seconds: expires,
            };
            let view: KeyView = client.patch(&path(&name), &update).await?;
            output.one("Key", &view)
        }
        KeysCommand::Rotate { name, overlap } => {
            let body = RotateKey { overlap_seconds: overlap };
            let created: KeyCreated =
                client.post(&format!("{}/rotate", path(&name)), &body).await?;
            if let Some(until) = &created.view.old_text_until {
                output.note(&format!("The old text is good until {until}."));
            }
            show_once(&created, output)
        }
        KeysCommand::Revoke { name, yes } => {
            let effect = format!("whoever uses the key {name} is refused from now on");
            confirm(&effect, yes)?;
            let _: KeyView = client.delete(&path(&name)).await?;
            output.note(&format!("{name} revoked"));
            Ok(())
        }
    }
}

fn path(name: &str) -> String {
    format!("/admin/v1/keys/{}", name.replace('/', "%2F"))
}

fn show_once(created: &KeyCreated, output: &Output) -> Result<(), CliError> {
    if !output.for_people() {
        return output.describe("Key", created);
    }
    match &created.key {
        Some(key) => {
            output.text(key);
            output.note("This key is shown once: only its hash is kept.");
        }
        None => output.note("An earlier try made this key, and only that answer had it."),
    }
    Ok(())
}

impl KeyRoleArg {
    fn resolve(self) -> KeyRole {
        match self {
            Self::User => KeyRole::User,
            Self::Admin => KeyRole::Admin,
            Self::Operator => KeyRole::Operator,
            Self::Viewer => KeyRole::Viewer,
            Self::Auditor => KeyRole::Auditor,
        }
    }
}
