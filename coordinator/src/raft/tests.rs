//! The store against openraft's own suite; groups of one and three voters over real TLS.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::log_store::LogStore;
use super::snapshot::SnapshotFile;
use super::state_machine::StateMachine;
use super::type_config::TypeConfig;

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().expect("a folder");
        let log = LogStore::open(&folder.path().join("raft.redb")).expect("a log");
        let file = SnapshotFile::at(&folder.path().join("snapshot.json"));
        let (machine, _) = StateMachine::open(file).expect("a state machine");
        Ok((folder, log, machine))
    }
}

#[tokio::test]
async fn the_store_passes_the_suite_of_openraft() {
    let passed: Result<(), StorageError<TypeConfig>> = Suite::test_all(Builder).await;
    passed.expect("the suite");
}
