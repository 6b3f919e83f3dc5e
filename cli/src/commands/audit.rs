//! `trireme audit`: ls, export, verify, tail.

use std::path::Path;
use std::time::Duration;

use protocol::admin::{API_VERSION, AuditList, AuditRecord, List, verify_audit};
use protocol::ids::Digest;
use serde::Serialize;
use utoipa::ToSchema;

use crate::args::AuditCommand;
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output::Output;

/// A chain that is intact.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditCheck {
    records: usize,
    /// Hash of the newest record.
    head: Option<Digest>,
    /// Log index of the newest record.
    index: u64,
}

const POLL: Duration = Duration::from_secs(1);
/// Of one answer.
const PAGE: u64 = 1000;

pub(crate) async fn run(
    command: AuditCommand,
    client: impl Fn() -> Result<Client, CliError>,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        AuditCommand::Ls { last } => {
            let (_, mut items) = fetch(&client()?, 0).await?;
            items.drain(..items.len().saturating_sub(usize::try_from(last).unwrap_or(usize::MAX)));
            let (api_version, kind) = (API_VERSION.to_owned(), "AuditList".to_owned());
            output.list(&List { api_version, kind, items })
        }
        AuditCommand::Export { after } => {
            let (list, items) = fetch(&client()?, after).await?;
            if list.cut > after {
                let (lost, cut) = (list.cut - after, list.cut);
                output.note(&format!("{lost} records up to {cut} are not kept any more"));
            }
            items.iter().try_for_each(|record| line(record, output))
        }
        AuditCommand::Verify { file: Some(file) } => {
            let items = read(&file)?;
            report(&items, None, &format!("in {}", file.display()), output)
        }
        AuditCommand::Verify { file: None } => {
            let (list, items) = fetch(&client()?, 0).await?;
            report(&items, Some(list.anchor), "kept by the cluster", output)
        }
        AuditCommand::Tail => tail(&client()?, output).await,
    }
}

/// All kept records after `after`, and the answer that the newest of them came with.
async fn fetch(client: &Client, after: u64) -> Result<(AuditList, Vec<AuditRecord>), CliError> {
    let mut items: Vec<AuditRecord> = Vec::new();
    let mut after = after;
    loop {
        let path = format!("/admin/v1/audit?after={after}&limit={PAGE}");
        let mut list: AuditList = client.get(&path).await?;
        let page = std::mem::take(&mut list.items);
        let whole = (page.len() as u64) < PAGE;
        items.extend(page);
        match items.last() {
            Some(newest) if !whole => after = newest.sequence,
            _ => return Ok((list, items)),
        }
    }
}

fn read(file: &Path) -> Result<Vec<AuditRecord>, CliError> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| CliError::usage(format!("cannot read {}", file.display()), e.to_string()))?;
    let records = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parsed = records.map(|(number, line)| {
        serde_json::from_str(line).map_err(|e| {
            let what = format!("{} is not an exported audit chain", file.display());
            CliError::new(Exit::Failed, what, format!("line {}: {e}", number + 1), EXPORT_AGAIN)
        })
    });
    parsed.collect()
}

const EXPORT_AGAIN: &str = "compare it with `trireme audit export`";

fn report(
    items: &[AuditRecord],
    anchor: Option<Digest>,
    place: &str,
    output: &Output,
) -> Result<(), CliError> {
    let count = items.len();
    if let Err(broken) = verify_audit(items, anchor) {
        let what = format!("the audit chain of {count} records {place} is broken");
        return Err(CliError::new(Exit::Failed, what, broken.to_string(), EXPORT_AGAIN));
    }
    let (first, last) = (items.first(), items.last());
    let head = last.map(|record| record.hash);
    let index = last.map_or(0, |r| r.index);
    if !output.for_people() {
        return output.describe("AuditCheck", &AuditCheck { records: count, head, index });
    }
    let head = head.map_or("none".to_owned(), |hash| hash.short());
    output.text(&format!("{count} records {place}, chain intact, head {head}, log index {index}"));
    if let Some(first) = first.filter(|r| r.sequence > 1) {
        let before = first.sequence - 1;
        output.note(&format!("the {before} before them are not here: verify older exports too"));
    }
    Ok(())
}

async fn tail(client: &Client, output: &Output) -> Result<(), CliError> {
    let (_, items) = fetch(client, 0).await?;
    let shown = items.len().saturating_sub(10);
    let mut after = items.last().map_or(0, |r| r.sequence);
    items[shown..].iter().try_for_each(|record| line(record, output))?;
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        let (_, items) = fetch(client, after).await?;
        after = items.last().map_or(after, |r| r.sequence);
        items.iter().try_for_each(|record| line(record, output))?;
    }
}

/// One JSON object: the form that `verify` reads.
fn line(record: &AuditRecord, output: &Output) -> Result<(), CliError> {
    let text = serde_json::to_string(record).map_err(|e| CliError::internal(&e.to_string()))?;
    output.text(&text);
    Ok(())
}
