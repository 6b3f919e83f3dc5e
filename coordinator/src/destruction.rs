//! The end of a destroyed cluster at this coordinator: it stops once the others can have heard of
//! it, and does not start on this folder again.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::identity::durable_file;
use serde::{Deserialize, Serialize};

use crate::error::CoordinatorError;
use crate::raft::Consensus;

const FILE: &str = "destroyed.json";
/// The other coordinators hear of it with the next heartbeat, workers when they are let go.
const FAREWELL: Duration = Duration::from_secs(3);
/// A leader waits this long for coordinators that answer and are behind.
const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(200);

/// Left in the data directory.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    cluster: String,
    at: String,
}

/// Refuses a folder whose cluster is known to be no more.
pub(crate) fn refuse(data_dir: &Path) -> Result<(), CoordinatorError> {
    let file = data_dir.join(FILE);
    let text = match std::fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CoordinatorError::store(&file, &error)),
    };
    let unreadable = |error: serde_json::Error| CoordinatorError::Damaged {
        path: file.clone(),
        reason: error.to_string(),
    };
    let Mark { cluster, at } = serde_json::from_slice(&text).map_err(unreadable)?;
    Err(CoordinatorError::Destroyed { cluster, at, path: data_dir.to_owned() })
}

/// Returns when this coordinator is to stop because the cluster was destroyed.
pub(crate) async fn told(consensus: &Consensus, data_dir: &Path) {
    let mut states = consensus.watch_state();
    let destroyed =
        states.wait_for(|state| state.destroyed.is_some()).await.map(|s| Arc::clone(&s));
    let mark = destroyed.ok().and_then(|state| {
        let at = state.destroyed?.to_string();
        Some(Mark { cluster: state.cluster.clone(), at })
    });
    let Some(mark) = mark else { return std::future::pending().await };
    let Mark { cluster, at } = &mark;
    tracing::warn!(cluster, at, "the cluster was destroyed: this coordinator stops in a moment");
    if let Err(error) = leave(data_dir, &mark) {
        // A next start finds it in the log again.
        tracing::error!(%error, "the end of the cluster is not noted in the data directory");
    }
    tokio::time::sleep(FAREWELL).await;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && others_lack(consensus) {
        tokio::time::sleep(POLL).await;
    }
    tracing::warn!(cluster, at, "this coordinator stops, as its cluster was destroyed");
}

fn leave(data_dir: &Path, mark: &Mark) -> std::io::Result<()> {
    let text = serde_json::to_vec(mark).map_err(std::io::Error::other)?;
    durable_file::write(&data_dir.join(FILE), &text, durable_file::PRIVATE)
}

/// Whether this coordinator leads and another one answers that has not got all of the log.
fn others_lack(consensus: &Consensus) -> bool {
    let others = consensus.state().coordinators().into_iter().map(|other| other.node);
    others.filter(|node| *node != consensus.own()).any(|node| {
        let behind = consensus.entries_behind(node).is_some_and(|entries| entries > 0);
        behind && consensus.silence_of(node).is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_whose_cluster_is_no_more_is_refused_with_its_name_and_the_moment() {
        let folder = tempfile::tempdir().expect("a folder");
        refuse(folder.path()).expect("nothing is known of an end");
        let mark = Mark { cluster: "lab".into(), at: "2026-11-22T08:00:00.000Z".into() };
        leave(folder.path(), &mark).expect("written");
        let refused = refuse(folder.path()).expect_err("refused");
        let said = refused.to_string();
        assert!(said.contains("`lab`") && said.contains("2026-11-22T08:00"), "{said}");
        assert!(refused.next().contains(&folder.path().display().to_string()));
    }
}
