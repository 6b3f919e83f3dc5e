//! `trireme cluster members`: ls, add, promote, rm.

use protocol::admin::{CoordinatorPart, CoordinatorView, List, OperationView};
use protocol::control::Role;

use super::{confirm, join_token};
use crate::args::{Global, MembersCommand};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

const PATH: &str = "/admin/v1/cluster/members";

pub(crate) async fn run(
    command: MembersCommand,
    global: &Global,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        MembersCommand::Ls => {
            let members: List<CoordinatorView> = Client::new(global)?.get(PATH).await?;
            output.list(&members)
        }
        MembersCommand::Add { token } => {
            join_token::make(Role::Coordinator, &token, &Client::new(global)?, output).await
        }
        MembersCommand::Promote { node } => {
            let path = format!("{PATH}/{node}/vote");
            let view: CoordinatorView = Client::new(global)?.put(&path).await?;
            match view.part {
                CoordinatorPart::Leader | CoordinatorPart::Voter => {
                    output.note(&format!("{} votes and goes on voting", view.name));
                }
                CoordinatorPart::Learner | CoordinatorPart::Joining => {
                    output.note(&format!("{} votes once it is caught up", view.name));
                }
            }
            output.one("Coordinator", &view)
        }
        MembersCommand::Rm { node, yes } => {
            let effect = format!("the coordinator {node} leaves the cluster for good");
            confirm(&effect, yes)?;
            let path = format!("{PATH}/{node}");
            let _: OperationView = Client::new(global)?.delete(&path).await?;
            output.note(&format!("{node} removed"));
            Ok(())
        }
    }
}
