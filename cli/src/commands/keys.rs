//! `trireme keys`: create and list API keys.

use protocol::admin::{KeyCreated, KeyRole, KeyView, List, NewKey};

use crate::args::{KeyRoleArg, KeysCommand};
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
        KeysCommand::Create { name, role } => {
            let role = match role {
                KeyRoleArg::User => KeyRole::User,
                KeyRoleArg::Admin => KeyRole::Admin,
            };
            let body = NewKey { name, role };
            let created: KeyCreated = client.post("/admin/v1/keys", &body).await?;
            if !output.for_people() {
                return output.describe("Key", &created);
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
    }
}
