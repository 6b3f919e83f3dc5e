//! What must not be found anywhere but with the client.

use serde_json::json;
use tests::process::{Cluster, ClusterOptions};

const CANARY: &str = "xyzzycanary";

#[tokio::test(flavor = "multi_thread")]
async fn no_prompt_text_in_logs_metrics_or_state() {
    let cluster = Cluster::with_demo(&ClusterOptions::default(), 3).await;
    let question = format!("Hello {CANARY}, what is {CANARY}?");
    for stream in [false, true] {
        let extra = json!({ "stream": stream, "max_tokens": 20 });
        cluster.api(0).ask("demo", &question, extra).await.expect("an answer");
    }
    // Also on the ways that fail.
    for bad in [json!({ "temperature": 9 }), json!({ "max_tokens": -1 })] {
        cluster.api(0).ask("demo", &question, bad).await.expect_err("refused");
    }
    cluster.api(0).ask(CANARY, &question, json!({})).await.expect_err("no such model");
    assert!(!cluster.logs().contains(CANARY));
    let metrics = cluster.api(0).get("/metrics").await.expect("metrics").to_string();
    assert!(!metrics.contains(CANARY));
    let mut files = Vec::new();
    collect(cluster.folder(), &mut files);
    assert!(files.len() > 10);
    for file in files {
        let Ok(bytes) = std::fs::read(&file) else { continue };
        let found = bytes.windows(CANARY.len()).any(|w| w == CANARY.as_bytes());
        assert!(!found, "{}", file.display());
    }
}

fn collect(folder: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
