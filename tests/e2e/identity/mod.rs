//! A node's identity over its life: one process at a time, renewed, revoked, under a new CA.

mod ca_rotation;
mod duplicates;
mod recovery;
mod renewal;
mod revocation;

use std::path::{Path, PathBuf};

use protocol::identity::{Identity, IdentityStore};
use serde_json::json;
use tests::process::{Cluster, NodeProcess};

use crate::same_text::long_questions;

/// A copy of a node's identity, as a cloned disk has it.
fn clone_identity(cluster: &Cluster, node: &str, to: &str) -> PathBuf {
    let (from, folder) = (cluster.folder().join(node), cluster.folder().join(to));
    std::fs::create_dir_all(folder.join("identity")).expect("a folder");
    for entry in std::fs::read_dir(from.join("identity")).expect("readable") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        std::fs::copy(&path, folder.join("identity").join(name)).expect("copied");
    }
    folder
}

fn start_worker(cluster: &Cluster, data_dir: &Path, name: &str) -> NodeProcess {
    let data_dir = data_dir.display().to_string();
    let arguments = ["worker", "--data-dir", &data_dir, "--name", name, "--listen", "127.0.0.1:0"];
    NodeProcess::start(name, arguments.map(str::to_owned).to_vec(), cluster.folder())
}

fn identity_of(cluster: &Cluster, node: &str) -> Identity {
    let store = IdentityStore::open(&cluster.folder().join(node)).expect("opens");
    store.load().expect("readable").expect("a member")
}

/// The cluster answers with the text it always has.
async fn answers(cluster: &Cluster) {
    let (question, expected) = long_questions().swap_remove(0);
    let extra = json!({ "stream": true });
    let answer = cluster.api(0).ask("demo", &question, extra).await.expect("an answer");
    assert_eq!(answer.text.trim(), expected.trim());
}

async fn ready(cluster: &Cluster, node: &str) {
    cluster
        .until(&format!("{node} ready"), async || {
            let view = cluster.api(0).get(&format!("/admin/v1/nodes/{node}")).await.ok()?;
            (view["state"] == "ready").then_some(())
        })
        .await;
}
