//! Coordinators that come later are found by all.

use serde_json::json;
use tests::process::{Cluster, ClusterOptions};

use crate::same_text::long_questions;

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
