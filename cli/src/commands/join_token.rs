//! `trireme cluster join-token`: make one, list them, take one back.

use protocol::admin::{JoinTokenCreated, JoinTokenView, List, NewJoinToken};
use protocol::control::Role;

use super::confirm;
use crate::args::{JoinToken, JoinTokenCommand, NewToken};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

const PATH: &str = "/admin/v1/join-tokens";

pub(crate) async fn run(args: JoinToken, client: &Client, output: &Output) -> Result<(), CliError> {
    match args.command {
        Some(JoinTokenCommand::Ls) => {
            let tokens: List<JoinTokenView> = client.get(PATH).await?;
            output.list(&tokens)
        }
        Some(JoinTokenCommand::Rm { id, yes }) => {
            confirm(&format!("the join token {id} lets nobody in any more"), yes)?;
            let token: JoinTokenView = client.delete(&format!("{PATH}/{id}")).await?;
            output.note(&format!("join token {} {}", token.id, token.state));
            Ok(())
        }
        None => make(args.role.resolve(), &args.token, client, output).await,
    }
}

/// Shows the token, and what to run with it.
pub(crate) async fn make(
    role: Role,
    asked: &NewToken,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let NewToken { ttl: ttl_seconds, uses, rotate } = *asked;
    let body = NewJoinToken { role, ttl_seconds, uses, rotate };
    let created: JoinTokenCreated = client.post(PATH, &body).await?;
    if !output.for_people() {
        return output.describe("JoinToken", &created);
    }
    let token = &created.token;
    output.text(token);
    output.note(&format!("{uses} uses, until {}. On each machine:", created.expires_at));
    match role {
        Role::Worker => output.note(&format!("  trireme node join --role worker {token}")),
        Role::Coordinator => {
            output.note("  trireme node join --role coordinator \\");
            output.note(&format!("      --listen HOST:7443 --api-listen HOST:8443 {token}"));
            output.note("  trireme coordinator");
            output.note("HOST is the machine's address, as the others reach it.");
        }
    }
    Ok(())
}
