//! `trireme doctor`: collects facts, judges them, says what helps.

mod checks;
mod collect;
mod facts;
pub(crate) mod finding;
mod moment;

use finding::Finding;
use protocol::admin::NodeCheck;

use crate::args::{Doctor, Global};
use crate::error::CliError;

/// All findings, in the order in which they help.
pub(crate) async fn examine(args: &Doctor, global: &Global) -> Vec<Finding> {
    let facts = collect::facts(args, global).await;
    checks::all(&facts)
}

/// All findings about the cluster, where one node has just looked at its machine.
pub(crate) async fn examine_anew(
    check: NodeCheck,
    global: &Global,
) -> Result<Vec<Finding>, CliError> {
    Ok(checks::all(&collect::anew(check, global).await?))
}
