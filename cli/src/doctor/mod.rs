//! `trireme doctor`: collects facts, judges them, says what helps.

mod checks;
mod collect;
mod facts;
pub(crate) mod finding;
mod moment;

use finding::Finding;

use crate::args::{Doctor, Global};

/// All findings, in the order in which they help.
pub(crate) async fn examine(args: &Doctor, global: &Global) -> Vec<Finding> {
    let facts = collect::facts(args, global).await;
    checks::all(&facts)
}
