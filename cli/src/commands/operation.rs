//! Waiting for a long operation: progress, deadline, Ctrl-C detaches.

use std::time::Duration;

use protocol::admin::{OperationState, OperationView};
use tokio::time::{Instant, sleep};

use crate::args::{Format, Wait};
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::terminal::Progress;

const POLL: Duration = Duration::from_millis(200);
/// A leader change may interrupt the polls for this long.
const PATIENCE: Duration = Duration::from_secs(15);

/// Follows `operation` to its end, or prints its id with `--no-wait`.
pub(crate) async fn follow(
    client: &Client,
    output: &Output,
    wait: &Wait,
    operation: OperationView,
) -> Result<OperationView, CliError> {
    if wait.no_wait {
        output.one("Operation", &operation)?;
        return Ok(operation);
    }
    let id = operation.id.clone();
    let deadline = Instant::now() + Duration::from_secs(wait.timeout);
    tokio::select! {
        result = poll(client, output, operation, deadline) => result,
        _ = tokio::signal::ctrl_c() => Err(CliError::new(
            Exit::Interrupted,
            "detached",
            format!("operation {id} continues in the cluster"),
            format!("go on with: trireme op wait {id}"),
        )),
    }
}

async fn poll(
    client: &Client,
    output: &Output,
    mut operation: OperationView,
    deadline: Instant,
) -> Result<OperationView, CliError> {
    let label = format!("{} {}", operation.kind, operation.subject);
    let mut progress = Progress::new(&label, output.quiet);
    let mut last_answer = Instant::now();
    // Any coordinator answers, should this one go away meanwhile.
    let others = client.others().await;
    let mut asked = std::iter::once(client).chain(&others).cycle();
    let mut client = asked.next().unwrap_or(client);
    loop {
        match operation.state {
            OperationState::Done => break,
            OperationState::Failed => {
                let what = format!("{label} failed");
                let exit = exit_of(&operation);
                let next = "see `trireme model describe` and `trireme node ls -o wide`";
                return Err(CliError::new(exit, what, operation.note, next));
            }
            OperationState::Running if Instant::now() > deadline => {
                let why = format!("operation {} continues: {}", operation.id, operation.note);
                let next = format!("go on with: trireme op wait {}", operation.id);
                return Err(CliError::new(Exit::TimedOut, "the wait timed out", why, next));
            }
            OperationState::Running => {}
        }
        if output.format == Format::Jsonl {
            output.one("Operation", &operation)?;
        }
        progress.update(operation.done, operation.total, &operation.note);
        sleep(POLL).await;
        match client.get(&format!("/admin/v1/operations/{}", operation.id)).await {
            Ok(view) => {
                operation = view;
                last_answer = Instant::now();
            }
            Err(_) if last_answer.elapsed() < PATIENCE => {
                client = asked.next().unwrap_or(client);
            }
            Err(error) => return Err(error),
        }
    }
    progress.finish();
    if !output.for_people() {
        output.one("Operation", &operation)?;
    }
    Ok(operation)
}

fn exit_of(operation: &OperationView) -> Exit {
    match operation.result.get("code").map(String::as_str) {
        Some("does_not_fit") => Exit::DoesNotFit,
        Some("not_found") => Exit::NotFound,
        _ => Exit::Failed,
    }
}
