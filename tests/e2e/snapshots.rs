//! A cluster saved to a file, and begun anew from it on another machine.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tests::process::{Api, Cluster, ClusterOptions, NodeProcess, free_port};

use crate::same_text::long_questions;

fn cli(cluster: &Cluster, arguments: &[&str]) -> Output {
    tokio::task::block_in_place(|| cluster.cli(arguments))
}

fn said(output: &Output) -> String {
    let all = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// What must be the same on both sides, without what only lives.
async fn kept(api: &Api) -> Value {
    let list = async |path: &str| api.get(path).await.expect("a list")["items"].clone();
    let pick = |items: Value, fields: &[&str]| -> Vec<Value> {
        let items = items.as_array().cloned().unwrap_or_default();
        let of = |item: Value| fields.iter().map(|f| item[*f].clone()).collect::<Vec<_>>();
        items.into_iter().map(|item| json!(of(item))).collect()
    };
    let nodes = pick(list("/admin/v1/nodes").await, &["id", "name", "roles", "joinedAt"]);
    json!({
        "keys": list("/admin/v1/keys").await,
        "nodes": nodes.into_iter().filter(|n| n[1] != "r1").collect::<Vec<_>>(),
        "models": pick(
            list("/admin/v1/models").await,
            &["name", "manifest", "spec", "weightBytes", "importedAt", "holders"],
        ),
    })
}

/// A worker of the old cluster that was told to find its coordinator at the new one.
fn stray(old: &Path, restored: &Path, folder: &Path) -> NodeProcess {
    let identity = folder.join("identity");
    std::fs::create_dir_all(&identity).expect("a folder");
    for file in ["node.key", "node.crt", "ca.crt"] {
        std::fs::copy(old.join("identity").join(file), identity.join(file)).expect("copied");
    }
    let list = "identity/coordinators.json";
    std::fs::copy(restored.join(list), folder.join(list)).expect("copied");
    let data_dir = folder.display().to_string();
    let arguments = ["worker", "--data-dir", &data_dir, "--listen", "127.0.0.1:0"];
    NodeProcess::start("stray", arguments.map(str::to_owned).to_vec(), folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_goes_on_from_its_snapshot_on_another_machine_without_its_old_nodes() {
    let two = ClusterOptions { workers: 2, ..ClusterOptions::default() };
    let mut cluster = Cluster::with_demo(&two, 2).await;
    let body = json!({ "name": "ci", "role": "user" });
    cluster.api(0).post("/admin/v1/keys", body).await.expect("a key");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let file = elsewhere.path().join("test.trireme").display().to_string();
    let saved = cli(&cluster, &["cluster", "snapshot", "save", &file]);
    assert!(saved.status.success(), "{}", said(&saved));
    let shown = cli(&cluster, &["cluster", "snapshot", "inspect", &file]);
    assert!(said(&shown).contains("3 members, 2 keys, 1 models"), "{}", said(&shown));
    let before = kept(cluster.api(0)).await;

    let restored = elsewhere.path().join("r1");
    let (listen, api) = (loopback(), loopback());
    let key = elsewhere.path().join("key");
    std::fs::write(&key, &cluster.recovery_key).expect("written");
    let (data_dir, key) = (restored.display().to_string(), key.display().to_string());
    let restore = ["cluster", "snapshot", "restore", &file, "--data-dir", &data_dir];
    let restore = [&restore[..], &["--node-name", "r1", "--listen", &listen]].concat();
    let restore = [&restore[..], &["--api-listen", &api, "--recovery-key-file", &key]].concat();
    let unasked = cli(&cluster, &restore);
    assert!(unasked.status.code() == Some(2) && said(&unasked).contains("--yes"));
    let done = cli(&cluster, &[&restore[..], &["--yes"]].concat());
    assert!(done.status.success(), "{}", said(&done));
    let twice = cli(&cluster, &[&restore[..], &["--yes"]].concat());
    assert_eq!(twice.status.code(), Some(6), "{}", said(&twice));

    let arguments = ["coordinator", "--data-dir", &data_dir];
    let coordinator =
        NodeProcess::start("r1", arguments.map(str::to_owned).to_vec(), elsewhere.path());
    let anew = Api::new(format!("http://{api}"));
    cluster
        .until("a quorum", async || {
            (anew.get("/admin/v1/cluster").await.ok()?["hasQuorum"] == true).then_some(())
        })
        .await;
    assert_eq!(kept(&anew).await, before);

    let stray = stray(&cluster.folder().join("n1"), &restored, &elsewhere.path().join("stray"));
    cluster
        .until("both sides to refuse", async || {
            let refused = coordinator.log().contains("node connection refused");
            (refused && stray.log().contains("another cluster")).then_some(())
        })
        .await;
    drop(stray);
    cluster.nodes_ready(2).await;

    rejoin(&mut cluster, &anew).await;
    cluster
        .until("the deployment", async || {
            let view = anew.get("/admin/v1/models/demo").await.ok()?;
            (view["deployment"]["state"] == "ready").then_some(())
        })
        .await;
    let (question, expected) = long_questions().swap_remove(0);
    let answer = anew.ask("demo", &question, json!({})).await.expect("an answer");
    assert_eq!(answer.text.trim(), expected.trim());
}

/// The old cluster's workers, with what is on their disks.
async fn rejoin(cluster: &mut Cluster, anew: &Api) {
    let body = json!({ "role": "worker", "ttlSeconds": 600, "uses": 2 });
    let token = anew.post("/admin/v1/join-tokens", body).await.expect("a token");
    let token = token["token"].as_str().expect("a token").to_owned();
    for index in 0..2 {
        cluster.workers[index].kill();
        let name = cluster.workers[index].name.clone();
        let data_dir = cluster.folder().join(&name).display().to_string();
        let join = ["node", "join", &token, "--name", &name, "--data-dir", &data_dir];
        let refused = cli(cluster, &join);
        assert_eq!(refused.status.code(), Some(6), "only when it is meant: {}", said(&refused));
        let joined = cli(cluster, &[&join[..], &["--anew"]].concat());
        assert!(joined.status.success(), "{}", said(&joined));
        cluster.workers[index].restart();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_coordinator_gives_a_snapshot_of_what_was_written_a_moment_ago() {
    let three = ClusterOptions { coordinators: 3, workers: 0, ..ClusterOptions::default() };
    let cluster = Cluster::start(&three).await;
    let file = cluster.folder().join("s.trireme").display().to_string();
    for asked in 0..3 {
        let body = json!({ "name": format!("k{asked}"), "role": "user" });
        cluster.api((asked + 1) % 3).post("/admin/v1/keys", body).await.expect("a key");
        let base = cluster.api(asked).base();
        let saved =
            cli(&cluster, &["cluster", "snapshot", "save", &file, "--api", base, "-o", "json"]);
        let header: Value = serde_json::from_slice(&saved.stdout).expect("JSON");
        assert_eq!(header["keys"], 2 + asked, "{}", said(&saved));
    }
    let mut bytes = std::fs::read(&file).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let damaged = cli(&cluster, &["cluster", "snapshot", "inspect", &file]);
    assert_eq!(damaged.status.code(), Some(1));
    assert!(said(&damaged).contains("digest does not fit"), "{}", said(&damaged));
}

fn loopback() -> String {
    format!("127.0.0.1:{}", free_port())
}
