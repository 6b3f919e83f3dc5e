//! `trireme doctor` and `trireme node exec-check`: what is wrong, and the line that fixes it.

use protocol::admin::NodeCheck;
use serde::Serialize;
use utoipa::ToSchema;

use crate::args::{Doctor, Global};
use crate::client::Client;
use crate::doctor;
use crate::doctor::finding::{Finding, Level};
use crate::error::{CliError, Exit};
use crate::output::Output;

/// What every check found.
#[derive(Serialize, ToSchema)]
pub(crate) struct DoctorReport {
    passed: usize,
    warned: usize,
    failed: usize,
    items: Vec<Finding>,
}

pub(crate) async fn run(args: Doctor, global: &Global, output: &Output) -> Result<(), CliError> {
    let mut items = doctor::examine(&args, global).await;
    if let Some(node) = &args.node {
        items.retain(|found| found.concerns(node));
        if items.is_empty() {
            let next = "trireme node ls";
            let why = "no check is about a node of this name";
            return Err(CliError::new(Exit::NotFound, format!("no node `{node}`"), why, next));
        }
    }
    let whole = args.all || args.node.is_some() || args.pre_join.is_some();
    tell(items, whole, output)
}

/// As `doctor --node`, on what the node itself finds now.
pub(crate) async fn exec_check(
    node: &str,
    global: &Global,
    output: &Output,
) -> Result<(), CliError> {
    let path = format!("/admin/v1/nodes/{node}/check");
    let check: NodeCheck = Client::new(global)?.post(&path, &()).await?;
    let name = check.node.clone();
    let mut items = doctor::examine_anew(check, global).await?;
    items.retain(|found| found.concerns(&name));
    tell(items, true, output)
}

/// The findings, without those that pass unless the `whole` is wanted.
fn tell(mut items: Vec<Finding>, whole: bool, output: &Output) -> Result<(), CliError> {
    let count = |level| items.iter().filter(|found| found.level == level).count();
    let (passed, warned, failed) = (count(Level::Pass), count(Level::Warn), count(Level::Fail));
    let names: Vec<_> = items.iter().filter(|f| f.level == Level::Fail).map(|f| f.name).collect();
    let names = names.join(", ");
    if output.for_people() {
        items.sort_by_key(|found| found.level != Level::Fail);
        let shown = items.iter().filter(|found| whole || found.level != Level::Pass);
        shown.for_each(|found| output.text(&found.line()));
        output.text(&format!("{passed} pass, {warned} warn, {failed} fail"));
    } else {
        output.describe("DoctorReport", &DoctorReport { passed, warned, failed, items })?;
    }
    if failed == 0 {
        return Ok(());
    }
    let what = format!("{failed} checks failed");
    Err(CliError::new(Exit::Failed, what, names, "do what the lines that begin with FAIL say"))
}
