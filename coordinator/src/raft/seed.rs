//! A log that begins behind a given state, with one voter: what a restored cluster starts from.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use openraft::Membership;
use openraft::storage::RaftLogStorage;
use openraft::vote::RaftLeaderId as _;
use protocol::ids::NodeId;

use super::log_store::LogStore;
use super::snapshot::{SnapshotFile, StoredSnapshot};
use super::type_config::{LogId, SnapshotMeta, StoredMembership, Vote, Voter, VoterId};
use crate::error::CoordinatorError;
use crate::state::State;

/// Writes `snapshot.json` and `raft.redb` into a folder that has neither. Indexes go on, so that
/// epochs never repeat; terms begin anew with the only voter.
pub(crate) async fn seed(
    data_dir: &Path,
    own: NodeId,
    address: &str,
    state: State,
) -> Result<(), CoordinatorError> {
    let failed = |error: io::Error| CoordinatorError::Store {
        path: data_dir.to_owned(),
        reason: error.to_string(),
    };
    let voter = VoterId(own);
    let vote = Vote::new(1, voter);
    let last = LogId::new(vote.leader_id.to_committed(), state.applied);
    let nodes = BTreeMap::from([(voter, Voter { address: address.to_owned() })]);
    let membership =
        Membership::new(vec![BTreeSet::from([voter])], nodes).map_err(CoordinatorError::raft)?;
    let meta = SnapshotMeta {
        last_log_id: Some(last),
        last_membership: StoredMembership::new(Some(last), membership),
    };
    let snapshot = SnapshotFile::at(&data_dir.join("snapshot.json"));
    snapshot.save(StoredSnapshot { meta, state: Arc::new(state) }).await.map_err(failed)?;
    let mut log = LogStore::open(&data_dir.join("raft.redb")).map_err(failed)?;
    log.save_vote(&vote).await.map_err(failed)?;
    log.purge(last).await.map_err(failed)
}
