//! Wrong models and wrong commands: an error that names the thing, an exit code that means it.

use serde_json::json;
use tests::process::{Cluster, ClusterOptions, repository_file};

fn one_worker() -> ClusterOptions {
    ClusterOptions { workers: 1, ..ClusterOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_models_are_refused_by_name() {
    let cluster = Cluster::start(&one_worker()).await;
    let demo = std::fs::read(repository_file("models/demo/demo.gguf")).expect("the demo model");
    let write = |name: &str, bytes: &[u8]| {
        let path = cluster.folder().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let truncated = write("truncated.gguf", &demo[..demo.len() / 2]);
    let magic = write("magic.gguf", b"this is not a model at all, only text");
    let missing = cluster.folder().join("nothing.gguf");
    for (path, name) in [(truncated, "truncated"), (magic, "magic"), (missing, "nothing")] {
        let body = json!({ "name": "bad", "path": path, "node": "n1" });
        let operation = cluster.api(0).post("/admin/v1/models", body).await.expect("starts");
        let id = operation["id"].as_str().expect("an id").to_owned();
        let view = cluster
            .until("the import to fail", async || {
                let view = cluster.api(0).get(&format!("/admin/v1/operations/{id}")).await.ok()?;
                (view["state"] != "running").then_some(view)
            })
            .await;
        assert_eq!(view["state"], "failed", "{view}");
        let note = view["note"].as_str().unwrap_or_default();
        assert!(note.contains(name), "the reason names the file: {note}");
    }
    assert!(cluster.workers[0].is_running());
    cluster.nodes_ready(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_end_with_the_code_that_says_why() {
    let cluster = Cluster::with_demo(&one_worker(), 1).await;
    let run = |arguments: &[&str]| {
        let output = cluster.cli(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), error)
    };
    for (arguments, code) in [
        (vec!["node", "ls"], 0),
        (vec!["model", "ls", "-o", "json"], 0),
        (vec!["cluster", "status"], 0),
        (vec!["plan", "demo"], 0),
        (vec!["keys", "create", "bot"], 0),
        (vec!["keys", "ls", "-o", "yaml"], 0),
        (vec!["chat", "demo", "-m", "Hello"], 0),
        (vec!["version"], 0),
        (vec!["node", "ls", "--no-such-flag"], 2),
        (vec!["generate", "--device", "gpu", "Hello"], 2),
        (vec!["generate", "--device", "cuda:0", "Hello"], 2),
        (vec!["model", "undeploy", "demo"], 2),
        (vec!["model", "describe", "nothing"], 3),
        (vec!["node", "describe", "nothing"], 3),
        (vec!["node", "ls", "--api", "http://127.0.0.1:1"], 5),
        (vec!["plan", "demo", "--pp", "3"], 7),
    ] {
        let (found, out, error) = run(&arguments);
        assert_eq!(found, Some(code), "{arguments:?}\n{out}\n{error}");
        assert!(!out.contains('\u{1b}') && !error.contains('\u{1b}'), "no colours in a pipe");
        if code > 2 {
            let lines: Vec<_> = error.lines().collect();
            assert_eq!(lines.len(), 3, "what, why, next: {error}");
        }
    }
    let (_, out, _) = run(&["node", "ls", "-o", "json"]);
    let list: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(list["apiVersion"], "trireme/v1");
    assert_eq!(list["kind"], "NodeList");
    let nodes = list["items"].as_array().expect("a list");
    assert!(nodes.iter().all(|n| n["memoryUsedBytes"].is_u64() && n["state"] == "ready"), "{out}");
}
