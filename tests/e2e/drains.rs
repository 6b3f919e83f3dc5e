//! Nodes are emptied in the middle of an answer: by an operator, or because they are told to stop.

use std::time::Duration;

use serde_json::{Value, json};
use tests::process::{Answer, Api, Cluster, ClusterOptions, Failure};
use tokio::task::JoinHandle;

use crate::same_text::long_questions;

/// A long answer under way, and what it shall be.
struct Asking {
    answer: JoinHandle<Result<Answer, Failure>>,
    expected: String,
}

impl Asking {
    /// Returns once a third of the text has come.
    async fn start(api: &Api) -> Self {
        let (question, expected) = long_questions().swap_remove(0);
        let (seen, mut middle) = tokio::sync::watch::channel(0_usize);
        let (api, third) = (api.clone(), expected.len() / 3);
        let answer = tokio::spawn(async move {
            let messages = json!([{ "role": "user", "content": question }]);
            let body = json!({ "model": "demo", "temperature": 0, "messages": messages });
            let tell = |text: &str| {
                seen.send_replace(text.len());
            };
            api.stream(body, tell).await
        });
        middle.wait_for(|length| *length >= third).await.expect("the stream runs");
        Self { answer, expected }
    }

    async fn same_text(self, cluster: &Cluster) {
        let answer = self.answer.await.expect("no panic");
        let answer = answer.unwrap_or_else(|e| panic!("{e:?}\n{}", cluster.logs()));
        assert_eq!(answer.text.trim(), self.expected.trim());
    }
}

async fn node(cluster: &Cluster, name: &str) -> Value {
    cluster.api(0).get(&format!("/admin/v1/nodes/{name}")).await.expect("a node")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_is_empty_and_cordoned_and_the_answer_went_on_elsewhere() {
    let cluster = Cluster::with_demo(&ClusterOptions::default(), 2).await;
    let name = cluster.placement("demo").await.swap_remove(0);
    let asking = Asking::start(cluster.api(0)).await;
    let drain = ["node", "drain", &name, "--yes"];
    let output = tokio::task::block_in_place(|| cluster.cli(&drain));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{}", cluster.logs());
    assert!(said.contains("layers move") && said.contains("nothing is left on"), "{said}");
    asking.same_text(&cluster).await;
    let view = node(&cluster, &name).await;
    assert_eq!((&view["state"], &view["reason"]), (&json!("cordoned"), &json!("drained")));
    assert!(view["next"].as_str().is_some_and(|next| next.contains("uncordon")), "{view:#}");
    assert_eq!(view["shards"], json!([]));
    assert!(!cluster.placement("demo").await.contains(&name));
    cluster.cli(&["node", "undrain", &name]);
    assert_eq!(node(&cluster, &name).await["state"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_no_plan_survives_changes_nothing_and_says_what_is_missing() {
    let options = ClusterOptions { workers: 1, ..ClusterOptions::default() };
    let cluster = Cluster::with_demo(&options, 1).await;
    let output = cluster.cli(&["node", "drain", "n1", "--yes"]);
    assert_eq!(output.status.code(), Some(7));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no plan keeps demo without n1"), "{said}");
    let unasked = cluster.cli(&["node", "drain", "n1"]);
    assert_eq!(unasked.status.code(), Some(2));
    let said = String::from_utf8_lossy(&unasked.stderr).into_owned();
    assert!(said.contains("trireme node drain n1 --yes"), "{said}");
    assert_eq!(node(&cluster, "n1").await["state"], "ready");
    let output = cluster.cli(&["model", "events", "demo"]);
    let events = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(events.contains("epoch") && events.contains("ready"), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_is_emptied_first() {
    let mut cluster = Cluster::with_demo(&ClusterOptions::default(), 2).await;
    let name = cluster.placement("demo").await.swap_remove(0);
    let asking = Asking::start(cluster.api(0)).await;
    let limit = Duration::from_secs(60);
    let code = tokio::task::block_in_place(|| cluster.worker(&name).terminate(limit));
    assert_eq!(code, Some(0), "{}", cluster.logs());
    assert!(cluster.worker(&name).log().contains("nothing is left on this node"));
    asking.same_text(&cluster).await;
}
