//! Two processes of one identity: the second is told where the first one is, and ends.

use std::time::Duration;

use tests::process::{Cluster, ClusterOptions, NodeProcess};

use super::{answers, clone_identity, ready, start_worker};

const LOUD: &str = "another process with this node's identity is attached from 127.0.0.1:";

#[tokio::test(flavor = "multi_thread")]
async fn a_cloned_disk_is_refused_and_takes_over_only_from_a_process_that_is_gone() {
    let options = ClusterOptions { workers: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::with_demo(&options, 1).await;
    let folder = clone_identity(&cluster, "n1", "clone");
    let mut clone = start_worker(&cluster, &folder, "clone");
    answers(&cluster).await;
    let code = tokio::task::block_in_place(|| clone.ended_within(Duration::from_secs(60)));
    let log = clone.log();
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {log}");
    assert!(log.contains(LOUD) && log.contains("trireme node join"), "{log}");
    assert!(cluster.coordinators[0].log().contains("a second process of one identity"));
    ready(&cluster, "n1").await;
    answers(&cluster).await;

    // One that was killed is gone at once, one that is frozen after the failure timeout.
    cluster.workers[0].kill();
    cluster.workers[0].restart();
    ready(&cluster, "n1").await;
    cluster.workers[0].freeze();
    clone.restart();
    cluster
        .until("the clone in the frozen one's place", async || {
            clone.log().contains("\"attached\"").then_some(())
        })
        .await;
    cluster.workers[0].thaw();
    let first = &mut cluster.workers[0];
    let code = tokio::task::block_in_place(|| first.ended_within(Duration::from_secs(60)));
    assert!(code.is_some_and(|code| code != 0) && first.log().contains(LOUD), "{}", first.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_does_not_start_beside_another_one_of_its_identity() {
    let options = ClusterOptions { workers: 0, ..ClusterOptions::default() };
    let cluster = Cluster::start(&options).await;
    let folder = clone_identity(&cluster, "c1", "twin").display().to_string();
    let arguments = ["coordinator", "--data-dir", &folder, "--listen", "127.0.0.1:0"];
    let mut arguments = arguments.map(str::to_owned).to_vec();
    arguments.extend(["--api-listen".to_owned(), "127.0.0.1:0".to_owned()]);
    let mut twin = NodeProcess::start("twin", arguments, cluster.folder());
    let code = tokio::task::block_in_place(|| twin.ended_within(Duration::from_secs(30)));
    let log = twin.log();
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {log}");
    let told = format!("runs at {}", cluster.node_address(0));
    assert!(log.contains("another coordinator with this one's identity"), "{log}");
    assert!(log.contains(&told), "{log}");
}
