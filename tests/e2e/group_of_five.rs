//! One, three or five coordinators vote; they come and go while the cluster runs.

use serde_json::{Value, json};
use tests::process::{Cluster, ClusterOptions, leader};

/// Names of the coordinators that vote, as the leader says.
async fn voters(cluster: &Cluster) -> Option<Vec<String>> {
    let leads = leader(cluster).await;
    let list = cluster.api(leads).get("/admin/v1/cluster/members").await.ok()?;
    let items = list["items"].as_array()?.clone();
    let votes = |m: &&Value| m["part"] == "leader" || m["part"] == "voter";
    Some(items.iter().filter(votes).filter_map(|m| m["name"].as_str().map(Into::into)).collect())
}

async fn until_vote(cluster: &Cluster, names: &[&str]) {
    let what = format!("{names:?} to vote");
    cluster.until(&what, async || (voters(cluster).await? == names).then_some(())).await;
}

async fn create_key(cluster: &Cluster, through: usize, name: &str) {
    let body = json!({ "name": name, "role": "user" });
    cluster
        .until(&format!("a change, {name}"), async || {
            cluster.api(through).post("/admin/v1/keys", body.clone()).await.ok()
        })
        .await;
}

fn members(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.cli(&[&["cluster", "members"], arguments].concat());
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {err}");
    format!("{out}{err}")
}

#[tokio::test(flavor = "multi_thread")]
async fn voters_are_added_promoted_and_removed_while_the_cluster_runs() {
    let options = ClusterOptions { workers: 0, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options).await;
    until_vote(&cluster, &["c1"]).await;
    cluster.add_coordinator().await;
    create_key(&cluster, 1, "by-a-learner").await;
    until_vote(&cluster, &["c1"]).await;
    cluster.add_coordinator().await;
    until_vote(&cluster, &["c1", "c2", "c3"]).await;
    cluster.add_coordinator().await;
    let shown = tokio::task::block_in_place(|| members(&cluster, &["ls"]));
    assert!(shown.contains("c4") && shown.contains("learner"), "{shown}");
    let leads = leader(&cluster).await;
    tokio::task::block_in_place(|| members(&cluster, &["promote", "c4"]));
    cluster
        .until("c4 to vote for another", async || {
            let now = voters(&cluster).await?;
            (now.len() == 3 && now.contains(&"c4".to_owned())).then_some(())
        })
        .await;
    cluster.add_coordinator().await;
    until_vote(&cluster, &["c1", "c2", "c3", "c4", "c5"]).await;
    // Two of five may die.
    let dead: Vec<_> = (0..5).filter(|i| *i != leads).take(1).chain([leads]).collect();
    dead.iter().for_each(|i| cluster.coordinators[*i].kill());
    let alive = (0..5).find(|i| !dead.contains(i)).expect("three live");
    create_key(&cluster, alive, "with-two-dead").await;
    for gone in dead {
        let name = cluster.coordinators[gone].name.clone();
        let path = format!("/admin/v1/cluster/members/{name}");
        cluster.api(alive).delete(&path).await.expect("removed");
    }
    cluster
        .until("three voters", async || (voters(&cluster).await?.len() == 3).then_some(()))
        .await;
    create_key(&cluster, alive, "after-all").await;
}

/// One that cannot know says so, and refuses where freshness is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_alone_says_that_what_it_shows_may_be_old() {
    let options = ClusterOptions { coordinators: 3, workers: 0, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options).await;
    let keys = "/admin/v1/keys";
    assert_eq!(cluster.api(2).header(keys, "trireme-led").await.as_deref(), Some("true"));
    create_key(&cluster, 0, "fresh").await;
    let list = cluster.api(2).get("/admin/v1/keys?consistent=true").await.expect("keys");
    assert!(list.to_string().contains("fresh"), "a consistent read holds what was acknowledged");
    cluster.coordinators[0].kill();
    cluster.coordinators[1].kill();
    cluster
        .until("c3 to notice", async || {
            let led = cluster.api(2).header(keys, "trireme-led").await?;
            (led == "false").then_some(())
        })
        .await;
    let age = cluster.api(2).header(keys, "trireme-age-ms").await.expect("an age");
    assert!(age.parse::<u64>().is_ok_and(|age| age > 500), "{age}");
    let list = cluster.api(2).get(keys).await.expect("old keys");
    assert!(list.to_string().contains("fresh"), "{list}");
    let refused = cluster.api(2).get("/admin/v1/keys?consistent=true").await.expect_err("alone");
    assert_eq!((refused.status, &refused.body["error"]["code"]), (503, &json!("no_quorum")));
}
