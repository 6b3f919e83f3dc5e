//! Long operations: who waits for one may leave and come back, and outlives a leader.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tests::process::{Api, Cluster, ClusterOptions, binary, leader, repository_file};

fn demo() -> PathBuf {
    repository_file("models/demo/demo.gguf")
}

fn start(cluster: &Cluster, api: &Api, arguments: &[&str]) -> Child {
    let mut command = Command::new(binary());
    command.args(arguments).env("TRIREME_API", api.base());
    command.env("XDG_CONFIG_HOME", cluster.folder()).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

fn end(child: Child) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let [out, error] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (status.code(), out, error)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_goes_on_through_the_death_of_the_leader_that_was_asked() {
    let options = ClusterOptions { coordinators: 3, workers: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options).await;
    let leads = leader(&cluster).await;
    cluster.worker("n1").freeze();
    let import = json!({ "name": "demo", "path": demo(), "node": "n1" });
    let started = cluster.api(leads).post("/admin/v1/models", import).await.expect("it starts");
    let id = started["id"].as_str().expect("an id").to_owned();
    let wait = ["op", "wait", &id, "--timeout", "120", "-o", "json"];
    let waiting = start(&cluster, cluster.api(leads), &wait);
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.coordinators[leads].kill();
    cluster.worker("n1").thaw();
    let (code, out, error) = tokio::task::block_in_place(|| end(waiting));
    assert_eq!(code, Some(0), "{error}\n{}", cluster.logs());
    let view: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
    assert_eq!((&view["id"], &view["state"]), (&json!(id), &json!("done")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_interrupts_a_wait_leaves_it_and_finds_it_again() {
    let options = ClusterOptions { workers: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options).await;
    cluster.worker("n1").freeze();
    let path = demo().display().to_string();
    let import = ["model", "import", &path, "--name", "demo", "--node", "n1"];
    let waiting = start(&cluster, cluster.api(0), &import);
    let id = cluster
        .until("the operation", async || {
            let list = cluster.api(0).get("/admin/v1/operations").await.ok()?;
            list["items"][0]["id"].as_str().map(str::to_owned)
        })
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let interrupt = Command::new("kill").args(["-INT", &waiting.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    let (code, _, error) = tokio::task::block_in_place(|| end(waiting));
    assert_eq!(code, Some(130), "{error}");
    assert!(error.contains("detached") && error.contains(&format!("op wait {id}")), "{error}");
    cluster.worker("n1").thaw();
    let again = start(&cluster, cluster.api(0), &["op", "wait", &id]);
    let (code, _, error) = tokio::task::block_in_place(|| end(again));
    assert_eq!(code, Some(0), "{error}\n{}", cluster.logs());
}
