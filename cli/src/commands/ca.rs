//! `trireme cluster ca`: rotate, status, finish.

use protocol::admin::{CaStatus, FinishCaRotation, RotateCa};

use crate::args::{CaCommand, Global};
use crate::client::Client;
use crate::context::Context;
use crate::error::CliError;
use crate::output::Output;

pub(crate) async fn run(
    command: CaCommand,
    global: &Global,
    output: &Output,
) -> Result<(), CliError> {
    let client = Client::new(global)?;
    let status: CaStatus = match command {
        CaCommand::Status => client.get("/admin/v1/cluster/ca").await?,
        CaCommand::Rotate => client.post("/admin/v1/cluster/ca/rotate", &RotateCa {}).await?,
        CaCommand::Finish { force } => {
            let body = FinishCaRotation { force };
            client.post("/admin/v1/cluster/ca/finish", &body).await?
        }
    };
    Context::keep_ca(global, &status.ca_pem)?;
    if !output.for_people() {
        return output.describe("Ca", &status);
    }
    output.text(&format!("current      {}", status.current));
    if let (Some(previous), Some(since)) = (&status.previous, &status.changing_since) {
        output.text(&format!("previous     {previous}, good until `finish`, since {since}"));
    }
    for member in &status.members {
        let until = member.expires_at.as_deref().unwrap_or("?");
        output.text(&format!("{:<12} {} CA, until {until}", member.node, member.ca));
    }
    if status.previous.is_some() {
        output.note("when all are `current`:  trireme cluster ca finish");
        output.note("other machines' contexts need the CAs of `trireme cluster ca status -o json`");
    }
    Ok(())
}
