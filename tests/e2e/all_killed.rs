//! Every process of a cluster is killed at a random moment: what was acknowledged is there after.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tests::process::{Cluster, share};

use crate::leaders_die::{Writers, keys, three};
use crate::same_text::long_questions;

/// Ids and names of all nodes.
async fn identities(cluster: &Cluster) -> Option<Vec<(Value, Value, Value)>> {
    let nodes = cluster.api(0).get("/admin/v1/nodes?consistent=true").await.ok()?;
    let nodes = nodes["items"].as_array()?.iter();
    Some(nodes.map(|n| (n["id"].clone(), n["name"].clone(), n["joinedAt"].clone())).collect())
}

async fn all_die(rounds: usize) {
    let mut cluster = Cluster::with_demo(&three(), 3).await;
    let before = cluster.until("the nodes", async || identities(&cluster).await).await;
    let mut random = StdRng::seed_from_u64(rounds as u64);
    let mut acknowledged = BTreeSet::new();
    for round in 0..rounds {
        let writers = Writers::start(&cluster, &format!("key-{round}"));
        tokio::time::sleep(Duration::from_millis(random.random_range(0..2000))).await;
        let nodes = cluster.coordinators.iter_mut().chain(&mut cluster.workers);
        nodes.for_each(|node| node.kill());
        let nodes = cluster.coordinators.iter_mut().chain(&mut cluster.workers);
        nodes.for_each(|node| node.restart());
        // Writers end only once each has got an answer to its last change.
        acknowledged.extend(writers.finish().await);
        let mut all = BTreeSet::new();
        for coordinator in 0..3 {
            let api = cluster.api(coordinator);
            let (names, count) = cluster.until("the keys", async || keys(api).await).await;
            assert_eq!(names.len(), count, "round {round}: a key was made twice");
            all.insert(names);
        }
        assert_eq!(all.len(), 1, "round {round}: the coordinators differ");
        let mut names = all.pop_first().expect("one");
        names.retain(|name| name.starts_with("key-"));
        assert_eq!(names, acknowledged, "round {round}");
        let now = cluster.until("the nodes", async || identities(&cluster).await).await;
        assert_eq!(now, before, "round {round}: an identity changed");
    }
    cluster.deployment_state("demo", "ready").await;
    let (question, expected) = long_questions().swap_remove(0);
    for coordinator in 0..3 {
        let answer = cluster.api(coordinator).ask("demo", &question, json!({})).await;
        assert_eq!(answer.expect("an answer").text.trim(), expected.trim());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_all_processes_were_killed_everything_acknowledged_comes_back_by_itself() {
    all_die(1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: all processes are killed a hundred times"]
async fn after_a_hundred_such_kills_everything_acknowledged_is_there() {
    all_die(share(100)).await;
}
