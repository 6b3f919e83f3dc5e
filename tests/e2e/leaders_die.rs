//! The leader is killed again and again under a constant stream of changes: none is lost, none is
//! made twice, streams and workers do not notice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tests::process::{Api, Cluster, ClusterOptions, leader, share};

use crate::same_text::long_questions;

/// A new leader takes changes within three seconds; a process test gives three times that.
const NEW_LEADER: Duration = Duration::from_secs(9);
const WRITERS: usize = 3;

pub(crate) fn three() -> ClusterOptions {
    ClusterOptions { coordinators: 3, workers: 3, ..ClusterOptions::default() }
}

/// Makes keys without a pause, each with a request id under which it is tried again, through
/// whichever coordinator answers.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<BTreeSet<String>>>,
}

impl Writers {
    pub(crate) fn start(cluster: &Cluster, round: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let apis: Vec<_> =
            (0..cluster.coordinators.len()).map(|i| cluster.api(i).clone()).collect();
        let task = |writer: usize| {
            let (stop, apis, round) = (Arc::clone(&stop), apis.clone(), round.to_owned());
            tokio::spawn(async move {
                let mut acknowledged = BTreeSet::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = format!("{round}-{writer}-{number}");
                    match write(&apis, writer + number, &name, &stop).await {
                        true => acknowledged.insert(name),
                        false => break,
                    };
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                acknowledged
            })
        };
        let tasks = (0..WRITERS).map(task).collect();
        Self { stop, tasks }
    }

    /// Names of all keys whose making was acknowledged.
    pub(crate) async fn finish(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeSet::new();
        for task in self.tasks {
            all.extend(task.await.expect("no panic"));
        }
        all
    }
}

/// Tries until it is acknowledged; false if it was told to stop before that.
async fn write(apis: &[Api], first: usize, name: &str, stop: &AtomicBool) -> bool {
    for attempt in 0.. {
        let api = &apis[(first + attempt) % apis.len()];
        let body = json!({ "name": name, "role": "user" });
        let id = [("idempotency-key", name)];
        match api.call_with(Method::POST, "/admin/v1/keys", body, &id).await {
            Ok(_) => return true,
            Err(failure) => {
                let clear = matches!(failure.status, 0 | 500 | 502 | 503);
                assert!(clear, "{name} was tried again and refused: {failure:?}");
            }
        }
        if stop.load(Ordering::Relaxed) && attempt > 200 {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    unreachable!("attempts have no end")
}

/// Names of the keys, as fresh as the leader's, and how many there are.
pub(crate) async fn keys(api: &Api) -> Option<(BTreeSet<String>, usize)> {
    let list = api.get("/admin/v1/keys?consistent=true").await.ok()?;
    let items = list["items"].as_array()?.clone();
    let names: BTreeSet<_> =
        items.iter().filter_map(|k| k["name"].as_str().map(str::to_owned)).collect();
    Some((names, items.len()))
}

/// What must not change when a leader dies: the epoch of the deployment, the nodes.
async fn lasting(cluster: &Cluster, through: usize) -> Option<(Value, Vec<(Value, Value)>)> {
    let api = cluster.api(through);
    let model = api.get("/admin/v1/models/demo?consistent=true").await.ok()?;
    let nodes = api.get("/admin/v1/nodes?consistent=true").await.ok()?;
    let nodes = nodes["items"].as_array()?.iter();
    let nodes = nodes.map(|n| (n["id"].clone(), n["name"].clone())).collect();
    Some((model["deployment"]["epoch"].clone(), nodes))
}

#[allow(clippy::print_stdout, reason = "what was measured is worth seeing")]
async fn leaders_die(rounds: usize) {
    let mut cluster = Cluster::with_demo(&three(), 3).await;
    let before = cluster.until("the nodes", async || lasting(&cluster, 0).await).await;
    let writers = Writers::start(&cluster, "key");
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let leads = leader(&cluster).await;
        let through = (leads + 1 + round % 2) % 3;
        let questions = long_questions();
        let (question, expected) = questions[round % questions.len()].clone();
        let api = cluster.api(through).clone();
        let asking =
            tokio::spawn(
                async move { api.ask("demo", &question, json!({ "stream": true })).await },
            );
        tokio::time::sleep(Duration::from_millis(150)).await;
        cluster.coordinators[leads].kill();
        let killed = Instant::now();
        let survivors = [cluster.api(through).clone()];
        let name = format!("after-{round}");
        let never = AtomicBool::new(false);
        let accepted = write(&survivors, 0, &name, &never);
        let accepted = tokio::time::timeout(NEW_LEADER, accepted).await;
        assert!(accepted.is_ok(), "round {round}: no leader in {NEW_LEADER:?}\n{}", cluster.logs());
        slowest = slowest.max(killed.elapsed());
        let answer = asking.await.expect("no panic").expect("the stream goes on");
        assert_eq!(answer.text.trim(), expected.trim(), "round {round}");
        let now = cluster.until("the nodes", async || lasting(&cluster, through).await).await;
        assert_eq!(now, before, "round {round}: a worker was registered anew or the plan changed");
        cluster.nodes_ready_by(through, 3).await;
        cluster.coordinators[leads].restart();
        cluster.until("the old leader", async || keys(cluster.api(leads)).await).await;
    }
    let mut acknowledged = writers.finish().await;
    acknowledged.extend((0..rounds).map(|round| format!("after-{round}")));
    for coordinator in 0..3 {
        let found = cluster.until("the keys", async || keys(cluster.api(coordinator)).await).await;
        let (mut names, count) = found;
        assert_eq!(names.len(), count, "a key was made twice");
        names.retain(|name| name.starts_with("key-") || name.starts_with("after-"));
        assert_eq!(names, acknowledged, "through coordinator {coordinator}");
    }
    let count = acknowledged.len();
    println!("{count} changes over {rounds} dead leaders, at most {slowest:?} without one");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_leaders_disturb_no_stream_and_lose_no_change() {
    leaders_die(2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: leaders are killed fifty times"]
async fn fifty_killed_leaders_disturb_no_stream_and_lose_no_change() {
    leaders_die(share(50)).await;
}

/// Nobody waits for an election: the next leader is told to take over.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_stop_hands_over_first() {
    let three = ClusterOptions { workers: 0, ..three() };
    let mut cluster = Cluster::start(&three).await;
    let leads = leader(&cluster).await;
    let through = (leads + 1) % 3;
    let code = tokio::task::block_in_place(|| {
        cluster.coordinators[leads].terminate(Duration::from_secs(20))
    });
    assert_eq!(code, Some(0));
    let log = cluster.coordinators[leads].log();
    assert!(log.contains("handing the leadership over"), "{log}");
    assert!(!log.contains("nobody took the leadership"), "{log}");
    let apis = [cluster.api(through).clone()];
    let never = AtomicBool::new(false);
    let accepted = tokio::time::timeout(NEW_LEADER, write(&apis, 0, "after", &never)).await;
    assert!(accepted.is_ok(), "{}", cluster.logs());
}
