//! A new CA: no restart, no pause, tokens of both for a while, then the old one opens nothing.

use serde_json::json;
use tests::process::{Cluster, ClusterOptions};

use super::answers;

async fn status(cluster: &Cluster) -> serde_json::Value {
    cluster.api(0).get("/admin/v1/cluster/ca").await.expect("a status")
}

fn is_all_current(status: &serde_json::Value, members: usize) -> bool {
    let list = status["members"].as_array().cloned().unwrap_or_default();
    list.len() == members && list.iter().all(|member| member["ca"] == "current")
}

async fn join(cluster: &Cluster, token: &str, name: &str) -> (bool, String) {
    let folder = cluster.folder().join(name).display().to_string();
    let arguments = ["node", "join", token, "--name", name, "--data-dir", &folder];
    let output = tokio::task::block_in_place(|| cluster.cli(&arguments));
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_changes_its_ca_while_it_serves() {
    let options = ClusterOptions { coordinators: 3, workers: 2, ..ClusterOptions::default() };
    let mut cluster = Cluster::with_demo(&options, 1).await;
    cluster
        .until("all certificates known", async || {
            is_all_current(&status(&cluster).await, 5).then_some(())
        })
        .await;
    let (early, late) =
        (cluster.join_token("worker", 600, 1).await, cluster.join_token("worker", 600, 1).await);
    let before = status(&cluster).await["current"].clone();

    // One that is off meanwhile keeps its old certificate.
    cluster.workers[1].kill();
    cluster.api(1).post("/admin/v1/cluster/ca/rotate", json!({})).await.expect("begun");
    let again = cluster.api(1).post("/admin/v1/cluster/ca/rotate", json!({})).await;
    assert!(again.expect_err("one at a time").body.to_string().contains("under way"));
    answers(&cluster).await;
    let (joined, error) = join(&cluster, &early, "n3").await;
    assert!(joined, "a token of the old CA: {error}");
    let fresh = cluster.join_token("worker", 600, 1).await;
    let (joined, error) = join(&cluster, &fresh, "n4").await;
    assert!(joined, "a token of the new CA: {error}");
    for idle in ["n3", "n4"] {
        cluster.api(0).delete(&format!("/admin/v1/nodes/{idle}")).await.expect("removed");
    }
    let refused = cluster.api(0).post("/admin/v1/cluster/ca/finish", json!({})).await;
    let refused = refused.expect_err("n2 is behind").body.to_string();
    assert!(refused.contains("n2") && refused.contains("old CA"), "{refused}");

    cluster.workers[1].restart();
    cluster
        .until("every member under the new CA", async || {
            is_all_current(&status(&cluster).await, 5).then_some(())
        })
        .await;
    cluster.api(0).post("/admin/v1/cluster/ca/finish", json!({})).await.expect("finished");
    let after = status(&cluster).await;
    assert!(after["current"] != before && after["previous"].is_null(), "{after:#}");
    let (joined, error) = join(&cluster, &late, "n5").await;
    assert!(!joined && error.contains("another cluster"), "{error}");

    // Handshakes between all of them, with nothing but the new CA.
    cluster.workers[0].kill();
    cluster.workers[0].restart();
    cluster.coordinators[2].kill();
    cluster.coordinators[2].restart();
    for node in ["n1", "n2"] {
        super::ready(&cluster, node).await;
    }
    cluster
        .until("the third coordinator back", async || {
            let status = cluster.api(2).get("/admin/v1/cluster").await.ok()?;
            (status["hasQuorum"] == true).then_some(())
        })
        .await;
    answers(&cluster).await;
}
