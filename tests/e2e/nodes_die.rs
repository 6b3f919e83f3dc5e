//! Workers are killed in the middle of an answer: the client sees a pause, and the same text.

use serde_json::json;
use tests::process::{Cluster, ClusterOptions, Failure, repository_file};

use crate::same_text::long_questions;

/// Streams a long answer and kills `victim` (a stage's position) once some text has come.
async fn kill_in_the_middle(cluster: &mut Cluster, victim: usize) -> String {
    let (question, expected) = long_questions().swap_remove(0);
    let name = cluster.placement("demo").await[victim].clone();
    let api = cluster.api(0).clone();
    let (seen, mut middle) = tokio::sync::watch::channel(0_usize);
    let third = expected.len() / 3;
    let asking = tokio::spawn(async move {
        let body = json!({
            "model": "demo", "temperature": 0,
            "messages": [{ "role": "user", "content": question }],
        });
        api.stream(body, |text| {
            seen.send_replace(text.len());
        })
        .await
    });
    middle.wait_for(|length| *length >= third).await.expect("the stream runs");
    cluster.worker(&name).kill();
    let answer = asking.await.expect("no panic");
    let answer = answer.unwrap_or_else(|e| panic!("{name} killed: {e:?}\n{}", cluster.logs()));
    assert_eq!(answer.text.trim(), expected.trim(), "{name} was killed at stage {victim}");
    assert_eq!(answer.finish_reason, "stop");
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn head_middle_and_last_may_die_where_a_fourth_stands_by() {
    let options = ClusterOptions { workers: 4, ..ClusterOptions::default() };
    let mut cluster = Cluster::with_demo(&options, 3).await;
    for victim in 0..3 {
        let name = kill_in_the_middle(&mut cluster, victim).await;
        cluster.worker(&name).restart();
        cluster.nodes_ready(4).await;
        cluster.deployment_state("demo", "ready").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_middle_and_last_may_die_where_the_others_have_room() {
    for victim in 0..3 {
        let mut cluster = Cluster::with_demo(&ClusterOptions::default(), 3).await;
        let name = kill_in_the_middle(&mut cluster, victim).await;
        let placement = cluster.placement("demo").await;
        assert!(placement.len() == 2 && !placement.contains(&name), "{placement:?}");
        let view = cluster.api(0).get("/admin/v1/models/demo").await.expect("a model");
        let reason = view["deployment"]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("2 stages") && reason.contains("3 were asked for"), "{reason}");
    }
}

/// Two workers that are both needed, one of them killed.
///
/// The model takes some 20 MiB with KV and workspace, the nodes offer 18 each.
async fn degraded() -> Cluster {
    let memory_limit = Some("120MB".to_owned());
    let options = ClusterOptions { workers: 2, memory_limit, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options).await;
    cluster.import(&repository_file("models/demo/demo.gguf"), "demo").await;
    cluster.deploy("demo", json!({ "contextLength": 512 })).await;
    cluster.worker("n2").kill();
    cluster.deployment_state("demo", "degraded").await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_plan_fits_the_view_says_so_and_service_returns_with_the_node() {
    let mut cluster = degraded().await;
    let view = cluster.api(0).get("/admin/v1/models/demo").await.expect("a model");
    let reason = view["deployment"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("needs") && reason.contains("more"), "{reason}");
    let (question, expected) = long_questions().swap_remove(0);
    let api = cluster.api(0).clone();
    let waiting = tokio::spawn(async move { api.ask("demo", &question, json!({})).await });
    cluster.worker("n2").restart();
    cluster.deployment_state("demo", "ready").await;
    let answer = waiting.await.expect("no panic").expect("an answer");
    assert_eq!(answer.text.trim(), expected.trim());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: a request waits a minute for a plan"]
async fn a_request_that_waited_in_vain_names_what_is_missing() {
    let cluster = degraded().await;
    let refused = cluster.api(0).ask("demo", "Hello", json!({})).await.expect_err("degraded");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.retry_after.is_some(), "{refused:?}");
    assert!(refused.body.to_string().contains("more: "), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_is_lost_within_seconds_and_readmitted_after() {
    let options = ClusterOptions { workers: 4, ..ClusterOptions::default() };
    let mut cluster = Cluster::with_demo(&options, 3).await;
    let name = cluster.placement("demo").await[1].clone();
    cluster.worker(&name).freeze();
    let (question, expected) = long_questions().swap_remove(1);
    let answer = cluster.api(0).ask("demo", &question, json!({ "stream": true })).await;
    let answer = answer.unwrap_or_else(|e: Failure| panic!("{e:?}\n{}", cluster.logs()));
    assert_eq!(answer.text.trim(), expected.trim());
    cluster.worker(&name).thaw();
    cluster.nodes_ready(4).await;
}
