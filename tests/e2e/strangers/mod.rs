//! Who may join and who may speak: everybody else is refused by reason, and nobody is disturbed.

mod certificates;
mod half_open;
mod oversized;
mod rubbish;
mod tokens;

use serde_json::json;
use tests::process::{Cluster, ClusterOptions};

use crate::same_text::long_questions;

/// What strangers and a few answers may take.
const MEMORY_MAX: u64 = 48 << 20;

fn one_worker() -> ClusterOptions {
    ClusterOptions { workers: 1, ..ClusterOptions::default() }
}

/// Prefix and CA, secret, address.
fn parts(token: &str) -> (&str, &str, &str) {
    let (head, address) = token.split_once('@').expect("a token");
    let (ca, secret) = head.rsplit_once('.').expect("three parts");
    (ca, secret, address)
}

/// Exit code and message of `node join` with `token`, into a folder of its own.
async fn join(cluster: &Cluster, token: &str, role: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().display().to_string();
    let name = folder.path().file_name().expect("a name").to_string_lossy();
    // Temporary folders begin with a dot, names may not.
    let name = name.trim_start_matches('.');
    let arguments =
        ["node", "join", token, "--role", role, "--data-dir", &data_dir, "--name", name];
    let output = tokio::task::block_in_place(|| cluster.cli(&arguments));
    let joined = folder.path().join("identity/node.crt").exists();
    assert_eq!(joined, output.status.success(), "only a member has a certificate");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The cluster answers as before, and has the nodes it had.
async fn undisturbed(cluster: &Cluster) {
    let answer = cluster.api(0).ask("demo", "Hello", json!({})).await.expect("an answer");
    assert_eq!(answer.finish_reason, "stop");
    let nodes = cluster.api(0).get("/admin/v1/nodes").await.expect("a list");
    assert_eq!(nodes["items"].as_array().map(Vec::len), Some(2), "{nodes:#}");
}

/// An answer streams on with the text it has without strangers, whatever `strangers` do meanwhile,
/// and no coordinator or worker takes more than `MEMORY_MAX` more memory for them.
async fn undisturbed_by(cluster: &Cluster, strangers: impl Future<Output = ()>) {
    let (question, expected) = long_questions().swap_remove(0);
    let nodes = || cluster.coordinators.iter().chain(&cluster.workers);
    let before: Vec<_> = nodes().map(|node| node.resident_memory()).collect();
    let answering = async {
        // Several, so that one is under way all the time.
        for _ in 0..3 {
            let extra = json!({ "stream": true });
            let answer = cluster.api(0).ask("demo", &question, extra).await.expect("an answer");
            assert_eq!(answer.text.trim(), expected.trim());
        }
    };
    tokio::join!(answering, strangers);
    undisturbed(cluster).await;
    for (node, before) in nodes().zip(before) {
        let grown = node.resident_memory().saturating_sub(before);
        assert!(grown < MEMORY_MAX, "{} grew by {} KiB", node.name, grown >> 10);
    }
}
