//! A snapshot opens for one key, says when it was damaged, and becomes the same cluster elsewhere.

use std::path::Path;
use std::time::Duration;

use protocol::admin::KeyRole;
use protocol::control::{CoordinatorEndpoint, LOG_LEVEL, Role};
use protocol::identity::{ClusterCa, IdentityStore, RecoveryKey};
use protocol::ids::Digest;
use protocol::transport::NodeTls;

use super::file::{open, seal};
use super::{RestoreOptions, SnapshotHeader, restore};
use crate::error::CoordinatorError;
use crate::fixtures::{model_summary, node};
use crate::raft::{Consensus, ConsensusConfig};
use crate::state::{Change, Command, IdentityChange, Outcome, State, Timestamp};

fn endpoint() -> CoordinatorEndpoint {
    CoordinatorEndpoint::new("10.0.0.1:7443", "10.0.0.1:8443")
}

/// A cluster with a coordinator, a worker, a key, a model and a join token.
fn lab(key: &RecoveryKey, ca: &ClusterCa) -> State {
    let admit = |id: u8, role, endpoint| Change::AdmitNode {
        node: node(id),
        name: format!("n{id}"),
        role,
        token: None,
        endpoint,
    };
    let changes = [
        Change::FoundCluster { name: "lab".into(), ca_pem: ca.certificate_pem().into() },
        Change::Identity(IdentityChange::SetRecovery { public: key.public() }),
        admit(1, Role::Coordinator, Some(endpoint())),
        admit(2, Role::Worker, None),
        Change::AddKey {
            name: "ci".into(),
            role: KeyRole::User,
            hash: Digest::of(b"secret"),
            prefix: "sk-1".into(),
        },
        Change::AddModel {
            name: "llama".into(),
            manifest: Digest::of(b"m"),
            summary: Box::new(model_summary()),
            holder: node(2),
        },
        Change::AddJoinToken {
            hash: Digest::of(b"t"),
            role: Role::Worker,
            ttl_seconds: 60,
            uses: 1,
        },
    ];
    let mut state = State::default();
    for (index, change) in (100..).zip(changes) {
        let outcome = state.apply(Command::new(Timestamp(1_000), change), index);
        assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome}");
    }
    state
}

fn snapshot() -> (RecoveryKey, State, Vec<u8>) {
    let (key, ca) = (RecoveryKey::generate(), ClusterCa::create("lab").expect("valid name"));
    let state = lab(&key, &ca);
    let file = seal(&state, &ca, Timestamp(2_000)).expect("sealed");
    (key, state, file)
}

fn options(folder: &Path, file: Vec<u8>, key: RecoveryKey) -> RestoreOptions {
    RestoreOptions {
        file,
        key,
        data_dir: folder.to_owned(),
        name: "r1".into(),
        address: "127.0.0.1:1".into(),
        api_address: "127.0.0.1:2".into(),
    }
}

#[test]
fn everyone_reads_the_header_and_only_the_recovery_key_the_rest() {
    let (key, state, file) = snapshot();
    let header = SnapshotHeader::read(&file).expect("whole");
    assert_eq!((header.cluster.as_str(), header.index), ("lab", 106));
    assert_eq!((header.members, header.keys, header.models), (2, 1, 1));
    assert_eq!(open(&file, key.secret()).expect("opens").state, state);
    let other = open(&file, RecoveryKey::generate().secret()).map(|_| ()).expect_err("sealed");
    assert!(other.to_string().contains("key"), "{other}");
    let text = String::from_utf8_lossy(&file);
    assert!(!text.contains("sk-1") && !text.contains("PRIVATE KEY"), "nothing in clear");
}

#[test]
fn a_changed_or_cut_byte_is_noticed_without_the_key() {
    let (_, _, file) = snapshot();
    for at in (0..file.len()).step_by(7) {
        assert!(SnapshotHeader::read(&file[..at]).is_err(), "cut at {at}");
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(SnapshotHeader::read(&changed).is_err(), "changed at {at}");
    }
}

#[test]
fn a_cluster_without_a_recovery_key_says_so() {
    let ca = ClusterCa::create("lab").expect("valid name");
    let mut state = lab(&RecoveryKey::generate(), &ca);
    state.identity.recovery = None;
    let refused = seal(&state, &ca, Timestamp(2_000)).expect_err("nobody to seal to");
    assert!(matches!(refused, CoordinatorError::NoRecoveryKey), "{refused}");
}

#[tokio::test]
async fn a_restored_coordinator_leads_the_same_state_under_another_ca() {
    let (key, before, file) = snapshot();
    let folder = tempfile::tempdir().expect("a folder");
    let restored = restore(options(folder.path(), file.clone(), key)).await.expect("restored");
    assert_eq!((restored.generation, restored.index), (1, 106));
    let store = IdentityStore::open(folder.path()).expect("opens");
    let identity = store.load().expect("readable").expect("an identity");
    assert_ne!(restored.ca_pem, before.ca_pem);
    assert!(store.load_ca().expect("readable").is_some(), "it can sign");
    let consensus = Consensus::start(ConsensusConfig {
        data_dir: folder.path().to_owned(),
        address: "127.0.0.1:1".into(),
        tls: NodeTls::new(&identity).expect("usable"),
        heartbeat: Duration::from_millis(50),
        election: Duration::from_millis(200),
        log_level: LOG_LEVEL,
    });
    let consensus = consensus.await.expect("started");
    consensus.wait_for_leader(Duration::from_secs(20)).await.expect("leads");
    let state = consensus.state();
    assert_eq!(state.keys, before.keys);
    assert_eq!(state.models, before.models);
    assert!(state.tokens.is_empty(), "they pin the old CA");
    assert!(state.applied > before.applied, "epochs never repeat");
    assert_eq!(state.members.get(&node(2)), before.members.get(&node(2)));
    let old = &state.members[&node(1)];
    assert_eq!((old.name.as_str(), &old.endpoint), ("n1", &None), "nobody is sent there");
    assert_eq!(state.coordinators().len(), 1);
    consensus.shutdown().await;
    let key = RecoveryKey::generate();
    let again = restore(options(folder.path(), file, key)).await.expect_err("not its key");
    assert!(matches!(again, CoordinatorError::Identity(_)), "{again}");
}

#[tokio::test]
async fn a_folder_that_holds_a_node_is_left_alone() {
    let (key, _, file) = snapshot();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("raft.redb"), b"a log").expect("written");
    let refused = restore(options(folder.path(), file, key)).await.expect_err("in use");
    assert!(matches!(refused, CoordinatorError::NotEmpty { .. }), "{refused}");
    assert_eq!(std::fs::read(folder.path().join("raft.redb")).expect("there"), b"a log");
}
