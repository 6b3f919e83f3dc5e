//! Join tokens: wrong, expired, used up, replayed, foreign or taken back, each by its reason.

use std::time::Duration;

use serde_json::json;
use tests::process::{Cluster, ClusterOptions};

use super::{join, one_worker, parts, undisturbed};

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

    let forgotten = cluster.join_token("worker", 600, 1).await;
    let list = cluster.api(0).get("/admin/v1/join-tokens").await.expect("a list");
    let text = list.to_string();
    for state in ["expired", "used up", "valid"] {
        assert!(text.contains(state), "{state}: {list:#}");
    }
    assert!(!text.contains(parts(&forgotten).1), "no secret");
    let body = json!({ "role": "worker", "ttlSeconds": 60, "uses": 1, "rotate": true });
    let rotated = cluster.api(0).post("/admin/v1/join-tokens", body).await.expect("a token");
    let (code, error) = join(&cluster, &forgotten, "worker").await;
    assert!(code == Some(4) && error.contains("taken back"), "{error}");
    let list = cluster.api(0).get("/admin/v1/join-tokens").await.expect("a list");
    let valid = list["items"].as_array().into_iter().flatten().find(|t| t["state"] == "valid");
    let id = valid.and_then(|t| t["id"].as_str()).expect("the new one").to_owned();
    let output =
        tokio::task::block_in_place(|| cluster.cli(&["cluster", "join-token", "rm", &id, "--yes"]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rotated = rotated["token"].as_str().expect("a token").to_owned();
    let (code, error) = join(&cluster, &rotated, "worker").await;
    assert!(code == Some(4) && error.contains("taken back"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_cannot_live_for_longer_than_a_month() {
    let cluster = Cluster::start(&ClusterOptions { workers: 0, ..ClusterOptions::default() }).await;
    let body = json!({ "role": "worker", "ttlSeconds": 31 * 86_400, "uses": 1 });
    let refused = cluster.api(0).post("/admin/v1/join-tokens", body).await.expect_err("too long");
    assert!(refused.status == 400 && refused.body.to_string().contains("30 days"), "{refused:?}");
}
