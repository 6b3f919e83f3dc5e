//! Settings of the whole cluster, and its end.

use std::process::Output;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::identity::IdentityStore;
use serde_json::{Value, json};
use tests::process::{Cluster, ClusterOptions};

/// Of a process that leaves by itself; far beyond what it needs.
const LEAVES: Duration = Duration::from_secs(60);

fn cli(cluster: &Cluster, arguments: &[&str]) -> Output {
    tokio::task::block_in_place(|| cluster.cli(arguments))
}

fn said(output: &Output) -> String {
    let all = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// The command ends with `code` and says all of `words`.
fn says(cluster: &Cluster, arguments: &[&str], code: i32, words: &[&str]) {
    let output = cli(cluster, arguments);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: no `{word}`\n{said}");
    }
}

/// As the coordinator with this index has it by now.
async fn until_set(cluster: &Cluster, coordinator: usize, name: &str, value: f64) {
    cluster
        .until(&format!("{name} = {value}"), async || {
            let settings = cluster.api(coordinator).get("/admin/v1/cluster/config").await.ok()?;
            let mut items = settings["items"].as_array()?.iter();
            items.any(|s| s["name"] == name && s["value"] == value).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_is_obeyed_by_every_coordinator_without_a_restart() {
    let options = ClusterOptions { coordinators: 3, workers: 0, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options).await;
    let second = cluster.api(1).base().to_owned();
    let set = ["cluster", "config", "set", "failure_timeout=2.5", "join_token_ttl=120"];
    let set = [&set[..], &["certificate_validity=7200", "--api", &second]].concat();
    says(&cluster, &set, 0, &["failure_timeout", "2.5", "7200"]);
    for coordinator in 0..3 {
        until_set(&cluster, coordinator, "failure_timeout", 2.5).await;
        until_set(&cluster, coordinator, "certificate_validity", 7200.0).await;
    }
    says(&cluster, &["cluster", "config", "get", "join_token_ttl"], 0, &["120", "3600"]);

    says(&cluster, &["cluster", "members", "add"], 0, &["trj1.", "--role coordinator"]);
    says(&cluster, &["audit", "ls"], 0, &["5 uses for a coordinator, 120 s", "set-settings"]);
    cluster.add_worker(None).await;
    cluster.nodes_ready(1).await;
    let store = IdentityStore::open(&cluster.folder().join("n1")).expect("opens");
    let identity = store.load().expect("readable").expect("a member");
    let expires = identity.certificate().expect("a certificate").expires_at;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    assert!(expires <= now + 7200, "valid until {expires}, it is {now}");

    let set = ["cluster", "config", "set"];
    let refused = |setting: &str, words: &[&str]| {
        says(&cluster, &[&set[..], &[setting]].concat(), 2, words);
    };
    refused("failure_timout=3", &["failure_timout", "did you mean `failure_timeout`?"]);
    refused("failure_timeout=0.1", &["failure_timeout is 0.1 s, expected 0.6 to 60 s"]);
    refused("failure_timeout=soon", &["failure_timeout is `soon`"]);
    says(&cluster, &["cluster", "config", "get", "colour"], 2, &["known are: failure_timeout"]);
    says(&cluster, &["cluster", "config", "edit"], 2, &["trireme cluster config set KEY=VALUE"]);
    says(&cluster, &[&set[..], &["failure_timeout=default"]].concat(), 0, &["failure_timeout"]);
    until_set(&cluster, 2, "failure_timeout", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_described_by_its_id() {
    let options = ClusterOptions { workers: 1, ..ClusterOptions::default() };
    let cluster = Cluster::with_demo(&options, 1).await;
    let listed = cli(&cluster, &["op", "ls", "-o", "name"]);
    let ids = String::from_utf8_lossy(&listed.stdout).into_owned();
    let id = ids.lines().next().expect("an operation");
    let shown = cli(&cluster, &["op", "describe", id, "-o", "json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!((&shown["kind"], &shown["id"]), (&json!("Operation"), &json!(id)));
    says(&cluster, &["op", "describe", "nothing"], 3, &["no operation `nothing`", "op ls"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_cluster_stops_everywhere_and_does_not_start_again() {
    let options = ClusterOptions { coordinators: 3, workers: 2, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options).await;
    let destroy = ["cluster", "destroy"];
    let lost = ["3 coordinators, 2 workers", "1 API keys"];
    let again = ["trireme cluster destroy --yes --name test"];
    says(&cluster, &destroy, 2, &[&lost[..], &again[..]].concat());
    says(&cluster, &["cluster", "destroy", "--dry-run"], 0, &lost);
    says(&cluster, &["cluster", "destroy", "--yes"], 2, &["--name"]);
    let wrong = ["cluster", "destroy", "--yes", "--name", "lab"];
    says(&cluster, &wrong, 6, &["called `test`, not `lab`"]);
    cluster.nodes_ready(2).await;

    let right = ["cluster", "destroy", "--yes", "--name", "test"];
    says(&cluster, &right, 0, &["test was destroyed at", "c1, c2, c3"]);
    let body = json!({ "role": "worker", "uses": 1 });
    let refused = cluster.api(1).post("/admin/v1/join-tokens", body).await;
    // In its last seconds it says why; after them nobody answers.
    let refused = refused.expect_err("nothing changes it any more");
    assert!([0, 409, 503].contains(&refused.status), "{refused:?}");

    tokio::task::block_in_place(|| {
        for worker in &mut cluster.workers {
            let code = worker.ended_within(LEAVES);
            assert_eq!(code, Some(6), "{}", worker.log());
            assert!(worker.log().contains("removed from the cluster"), "{}", worker.log());
        }
        for coordinator in &mut cluster.coordinators {
            let code = coordinator.ended_within(LEAVES);
            assert_eq!(code, Some(0), "{}", coordinator.log());
            assert!(coordinator.log().contains("its cluster was destroyed"));
        }
        for coordinator in &mut cluster.coordinators {
            coordinator.restart();
            assert_eq!(coordinator.ended_within(LEAVES), Some(6), "{}", coordinator.log());
            let log = coordinator.log();
            assert!(log.contains("was destroyed at") && log.contains("rm -r"), "{log}");
        }
    });
}
