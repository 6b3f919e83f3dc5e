//! What keys used through this coordinator and the log does not know yet; kept on the disk, so that
//! it outlasts a time without a quorum and the process.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use protocol::identity::durable_file;
use serde::{Deserialize, Serialize};

use crate::error::CoordinatorError;
use crate::raft::{Consensus, ProposeError};
use crate::state::{Actor, Change, KeyChange, Outcome, UsageDelta};

type Totals = BTreeMap<String, UsageDelta>;

/// A report is in the log at once or not at all; until it is known to be, its number and content
/// stay as they are: so it counts once, however often it is sent.
pub(super) struct UsageBook {
    path: PathBuf,
    kept: Kept,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    report: Option<(u64, Totals)>,
    since: Totals,
}

impl UsageBook {
    pub(super) fn open(path: &Path) -> Result<Self, CoordinatorError> {
        let failed = |reason: String| CoordinatorError::Store { path: path.to_owned(), reason };
        let kept = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| failed(e.to_string()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(failed(error.to_string())),
        };
        Ok(Self { path: path.to_owned(), kept })
    }

    pub(super) fn count(&mut self, key: &str, delta: &UsageDelta) {
        self.kept.since.entry(key.to_owned()).or_default().add(delta);
    }

    /// Tokens of `key` that the log may not know.
    pub(super) fn untold(&self, key: &str) -> u64 {
        let reported = self.kept.report.as_ref().and_then(|(_, totals)| totals.get(key));
        let parts = [reported, self.kept.since.get(key)];
        parts.into_iter().flatten().fold(0, |sum, delta| sum.saturating_add(delta.tokens()))
    }

    /// The next report, to be saved before it is sent; `counted` is the last that the log took.
    pub(super) fn prepare(&mut self, counted: u64) -> Option<(u64, Totals)> {
        if self.kept.report.as_ref().is_some_and(|(batch, _)| *batch <= counted) {
            self.kept.report = None;
        }
        if self.kept.report.is_none() && !self.kept.since.is_empty() {
            self.kept.report = Some((counted + 1, std::mem::take(&mut self.kept.since)));
        }
        self.kept.report.clone()
    }

    pub(super) fn told(&mut self, batch: u64) {
        if self.kept.report.as_ref().is_some_and(|(known, _)| *known == batch) {
            self.kept.report = None;
        }
    }

    /// Writes it all down; for a thread that may wait for the disk.
    pub(super) fn to_save(&self) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        let (path, kept) = (self.path.clone(), self.kept.clone());
        move || {
            let bytes = serde_json::to_vec(&kept).map_err(io::Error::other)?;
            durable_file::write(&path, &bytes, durable_file::PRIVATE)
        }
    }
}

impl Consensus {
    pub(super) async fn report_usage(
        &self,
        batch: u64,
        totals: Totals,
    ) -> Result<Outcome, ProposeError> {
        let node = self.own();
        let actor = Actor::Node { node, role: protocol::control::Role::Coordinator };
        let change = Change::Key(KeyChange::RecordUsage { node, batch, totals });
        self.propose_by(actor, None, change).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(tokens: u64) -> UsageDelta {
        UsageDelta { requests: 1, prompt_tokens: tokens, completion_tokens: 0 }
    }

    #[test]
    fn a_report_stays_the_same_until_the_log_has_it_also_over_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("usage.json");
        let mut book = UsageBook::open(&path).expect("opens");
        assert_eq!(book.prepare(4), None);
        book.count("ci", &delta(10));
        let first = book.prepare(4).expect("a report");
        assert_eq!((first.0, first.1["ci"]), (5, delta(10)));
        book.count("ci", &delta(7));
        assert_eq!(book.prepare(4), Some(first.clone()));
        book.to_save()().expect("saved");
        let mut book = UsageBook::open(&path).expect("opens");
        assert_eq!((book.prepare(4), book.untold("ci")), (Some(first), 17));
        // The answer was lost, the state says that it was counted.
        let (batch, totals) = book.prepare(5).expect("the next one");
        assert_eq!((batch, totals["ci"]), (6, delta(7)));
        book.told(6);
        assert_eq!((book.prepare(6), book.untold("ci")), (None, 0));
    }
}
