//! `trireme op`: ls, describe, wait, cancel.

use protocol::admin::{List, OperationView};

use super::{confirm, operation};
use crate::args::OpCommand;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

pub(crate) async fn run(
    command: OpCommand,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        OpCommand::Ls => {
            let operations: List<OperationView> = client.get("/admin/v1/operations").await?;
            output.list(&operations)
        }
        OpCommand::Describe { id } => {
            let view: OperationView = client.get(&format!("/admin/v1/operations/{id}")).await?;
            output.describe("Operation", &view)
        }
        OpCommand::Wait { id, wait } => {
            let started: OperationView = client.get(&format!("/admin/v1/operations/{id}")).await?;
            let done = operation::follow(client, output, &wait, started).await?;
            // Programs have been told by then.
            if wait.no_wait || !output.for_people() {
                return Ok(());
            }
            output.one("Operation", &done)
        }
        OpCommand::Cancel { id, yes } => {
            let effect = format!("operation {id} ends, and what it was about is taken back");
            confirm(&effect, yes)?;
            let path = format!("/admin/v1/operations/{id}/cancel");
            let ended: OperationView = client.post(&path, &()).await?;
            output.one("Operation", &ended)
        }
    }
}
