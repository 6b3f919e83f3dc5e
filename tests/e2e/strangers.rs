//! Who may join and who may speak: everybody else is refused by reason, and nobody is disturbed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use tests::process::{Cluster, ClusterOptions, NodeProcess};

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

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_token_joins_and_only_once() {
    let cluster = Cluster::with_demo(&one_worker(), 1).await;
    let other = Cluster::start(&ClusterOptions { workers: 0, ..ClusterOptions::default() }).await;

    let good = cluster.join_token("worker", 600, 1).await;
    let (code, error) = join(&cluster, &good.replace('.', ""), "worker").await;
    assert!(code == Some(2) && error.contains("join token"), "{error}");

    // `trj1.<ca>.<secret>@<address>`, each part from one cluster or the other.
    let foreign = other.join_token("worker", 600, 1).await;
    let (ours, theirs) = (parts(&good), parts(&foreign));
    let wrong_secret = format!("{}.{}@{}", ours.0, theirs.1, ours.2);
    let (code, error) = join(&cluster, &wrong_secret, "worker").await;
    assert!(code == Some(4) && error.contains("does not know"), "{error}");
    let moved = format!("{}.{}@{}", theirs.0, theirs.1, ours.2);
    let (code, error) = join(&cluster, &moved, "worker").await;
    assert!(code == Some(4) && error.contains("another cluster"), "{error}");

    let (code, error) = join(&cluster, &good, "coordinator").await;
    assert!(code == Some(4) && error.contains("is for a worker"), "{error}");

    let brief = cluster.join_token("worker", 1, 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (code, error) = join(&cluster, &brief, "worker").await;
    assert!(code == Some(4) && error.contains("expired at"), "{error}");
    undisturbed(&cluster).await;

    assert_eq!(join(&cluster, &good, "worker").await.0, Some(0));
    let (code, error) = join(&cluster, &good, "worker").await;
    assert!(code == Some(4) && error.contains("used up"), "{error}");
    assert_eq!(error.lines().count(), 3, "what, why, next: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_cluster_opens_nothing() {
    let cluster = Cluster::with_demo(&one_worker(), 1).await;
    let other = Cluster::start(&one_worker()).await;
    let (here, there) =
        (cluster.join_token("worker", 600, 1).await, other.join_token("worker", 600, 1).await);
    // A member of the other cluster that was told to find its coordinator here.
    let folder = other.folder().join("n1");
    let list = folder.join("identity/coordinators.json");
    let text = std::fs::read_to_string(&list).expect("a list of coordinators");
    let moved = text.replace(parts(&there).2, parts(&here).2);
    assert_ne!(text, moved);
    let stray = tempfile::tempdir().expect("a folder");
    let identity = stray.path().join("identity");
    std::fs::create_dir(&identity).expect("a folder");
    for file in ["node.key", "node.crt", "ca.crt"] {
        std::fs::copy(folder.join("identity").join(file), identity.join(file)).expect("copied");
    }
    std::fs::write(identity.join("coordinators.json"), moved).expect("written");
    let data_dir = stray.path().display().to_string();
    let arguments = ["worker", "--data-dir", &data_dir, "--listen", "127.0.0.1:0"];
    let arguments = arguments.map(str::to_owned).to_vec();
    let process = NodeProcess::start("stray", arguments, stray.path());
    let said = cluster
        .until("both sides to say why", async || {
            let coordinator = cluster.coordinators[0].log();
            let refused = coordinator.contains("node connection refused");
            let worker = process.log();
            (refused && worker.contains("another cluster")).then_some(worker)
        })
        .await;
    assert!(said.contains(parts(&here).2), "the reason names the address: {said}");
    undisturbed(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plaintext_client_gets_no_answer() {
    let cluster = Cluster::with_demo(&one_worker(), 1).await;
    let token = cluster.join_token("worker", 600, 1).await;
    let mut stream = TcpStream::connect(parts(&token).2).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream.write_all(b"GET /admin/v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n").expect("written");
    let mut answer = Vec::new();
    // Whether it ends in order or is reset is the kernel's business.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.len() < 16 && !answer.starts_with(b"HTTP"), "{answer:?}");
    cluster
        .until("the refusal in the log", async || {
            let log = cluster.coordinators[0].log();
            log.contains("node connection refused").then_some(())
        })
        .await;
    undisturbed(&cluster).await;
}
