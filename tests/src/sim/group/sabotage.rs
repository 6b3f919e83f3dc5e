//! Bugs put in on purpose, around the real code, to show that the invariants notice them.

use protocol::ids::Digest;
use redb::{Database, TableDefinition};
use serde_json::{Value, json};

/// What stands behind the first line of a snapshot, which holds its checksum.
pub(crate) fn snapshot_content(bytes: &[u8]) -> serde_json::Result<Value> {
    let head = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    serde_json::from_slice(&bytes[head..])
}

/// At most one per simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    #[default]
    None,
    /// A coordinator that restarts does not know whom it voted for.
    VoteForgotten,
    /// Disks say that they synced, and did not.
    SyncSkipped,
    /// Snapshots do not hold who is in the group.
    SnapshotWithoutMembership,
    /// Workers take any set of shards, of whatever epoch.
    EpochUnchecked,
}

impl Sabotage {
    /// What a coordinator finds of its log when it starts.
    pub(super) fn of_log(self, database: &Database) -> Result<(), redb::Error> {
        const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
        if self == Self::VoteForgotten {
            let transaction = database.begin_write()?;
            transaction.open_table(META)?.remove("vote")?;
            transaction.commit()?;
        }
        Ok(())
    }

    /// What a snapshot becomes on its way to the disk.
    pub(super) fn of_snapshot(self, bytes: &[u8]) -> Vec<u8> {
        let parsed = snapshot_content(bytes);
        let (Self::SnapshotWithoutMembership, Ok(mut content)) = (self, parsed) else {
            return bytes.to_owned();
        };
        let nobody = json!({ "log_id": null, "membership": { "configs": [], "nodes": {} } });
        content["meta"]["last_membership"] = nobody;
        let content = content.to_string();
        format!("trireme-snapshot {}\n{content}", Digest::of(content.as_bytes())).into_bytes()
    }
}
