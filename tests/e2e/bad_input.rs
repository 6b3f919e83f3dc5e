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
