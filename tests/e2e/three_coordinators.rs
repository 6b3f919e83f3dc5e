//! The control plane survives its leader.

use serde_json::{Value, json};
use tests::process::{Api, Cluster, ClusterOptions};

use crate::same_text::long_questions;

fn three() -> ClusterOptions {
    ClusterOptions { coordinators: 3, workers: 3, ..ClusterOptions::default() }
}

/// Index of the coordinator that leads, as one that answers sees it.
async fn leader(cluster: &Cluster) -> usize {
    cluster
        .until("a leader", async || {
            for (index, node) in cluster.coordinators.iter().enumerate() {
                if !node.is_running() {
                    continue;
                }
                let status = cluster.api(index).get("/admin/v1/cluster").await.ok()?;
                if status["leader"] == status["thisNode"] && status["hasQuorum"] == true {
                    return Some(index);
                }
            }
            None
        })
        .await
}

async fn create_key(api: &Api, name: &str) -> bool {
    api.post("/admin/v1/keys", json!({ "name": name, "role": "user" })).await.is_ok()
}

async fn key_names(api: &Api) -> Vec<String> {
    let list = api.get("/admin/v1/keys").await.unwrap_or(Value::Null);
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items.iter().filter_map(|k| k["name"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_disturbs_no_stream_and_loses_no_write() {
    let mut cluster = Cluster::with_demo(&three(), 3).await;
    let mut acknowledged = Vec::new();
    for round in 0..tests::process::share(5).max(2) {
        let leads = leader(&cluster).await;
        let through = (leads + 1) % 3;
        let (question, expected) = long_questions().swap_remove(round);
        let api = cluster.api(through).clone();
        let asking =
            tokio::spawn(
                async move { api.ask("demo", &question, json!({ "stream": true })).await },
            );
        for write in 0..3 {
            let name = format!("key-{round}-{write}");
            if create_key(cluster.api(through), &name).await {
                acknowledged.push(name);
            }
        }
        cluster.coordinators[leads].kill();
        let answer = asking.await.expect("no panic").expect("the stream goes on");
        assert_eq!(answer.text.trim(), expected.trim(), "round {round}");
        assert_ne!(leader(&cluster).await, leads);
        let name = format!("after-{round}");
        let api = cluster.api(through);
        cluster.until("a write", async || create_key(api, &name).await.then_some(())).await;
        acknowledged.push(name);
        cluster.coordinators[leads].restart();
        let restarted = cluster.api(leads).clone();
        cluster
            .until("the old leader to catch up", async || {
                let known = key_names(&restarted).await;
                acknowledged.iter().all(|name| known.contains(name)).then_some(())
            })
            .await;
    }
    assert!(acknowledged.len() > 4, "{acknowledged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_all_processes_were_killed_the_deployment_comes_back_by_itself() {
    let mut cluster = Cluster::with_demo(&three(), 3).await;
    let nodes = cluster.coordinators.iter_mut().chain(&mut cluster.workers);
    nodes.for_each(|node| {
        node.kill();
        node.restart();
    });
    cluster.deployment_state("demo", "ready").await;
    let (question, expected) = long_questions().swap_remove(0);
    for coordinator in 0..3 {
        let answer = cluster.api(coordinator).ask("demo", &question, json!({})).await;
        assert_eq!(answer.expect("an answer").text.trim(), expected.trim());
    }
}

/// A coordinator that has just joined replays old lists of coordinators, which name neither it nor
/// the others; no worker may follow them.
#[tokio::test(flavor = "multi_thread")]
async fn coordinators_that_join_later_are_found_by_every_worker_and_answer() {
    let alone = ClusterOptions { workers: 3, ..ClusterOptions::default() };
    let mut cluster = Cluster::with_demo(&alone, 3).await;
    for _ in 0..2 {
        cluster.add_coordinator().await;
    }
    let (question, expected) = long_questions().swap_remove(0);
    for coordinator in 0..3 {
        cluster.nodes_ready_by(coordinator, 3).await;
        let answer = cluster.api(coordinator).ask("demo", &question, json!({})).await;
        assert_eq!(answer.expect("an answer").text.trim(), expected.trim());
    }
}
