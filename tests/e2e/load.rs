//! More than it can take at once: answered or refused, nothing hangs, nothing leaks.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tests::process::{Cluster, ClusterOptions, share};

use crate::same_text::{long_questions, questions};

/// Free and total blocks as the head reports them.
async fn blocks(cluster: &Cluster) -> Option<(u64, u64)> {
    let text = cluster.api(0).get("/metrics").await.ok()?;
    let Value::String(text) = text else { return None };
    let read = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name) && !l.starts_with('#'))?;
        line.rsplit(' ').next()?.parse::<f64>().ok().map(|v| v as u64)
    };
    Some((read("trireme_kv_blocks_free")?, read("trireme_kv_blocks_total")?))
}

async fn all_blocks_come_back(cluster: &Cluster) {
    cluster
        .until("all blocks free", async || {
            let (free, total) = blocks(cluster).await?;
            (free == total && total > 0).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_are_answered_or_told_to_come_back() {
    let cluster = Cluster::with_demo(&ClusterOptions::default(), 3).await;
    let questions = questions();
    let answers = join_all((0..200).map(|i| {
        let (question, expected) = &questions[i % questions.len()];
        let api = cluster.api(0);
        async move { (api.ask("demo", question, json!({ "stream": true })).await, expected) }
    }))
    .await;
    let mut answered = 0;
    for (answer, expected) in answers {
        match answer {
            Ok(answer) => {
                assert_eq!(answer.text.trim(), expected.trim());
                answered += 1;
            }
            Err(failure) => {
                assert_eq!(failure.status, 429, "{failure:?}");
                assert!(failure.retry_after.is_some(), "{failure:?}");
            }
        }
    }
    assert!(answered >= 16, "{answered}");
    all_blocks_come_back(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_requests_leave_no_block_behind() {
    let cluster = Cluster::with_demo(&ClusterOptions::default(), 3).await;
    let question = long_questions().swap_remove(0).0;
    for wave in 0..share(500).div_ceil(10) {
        join_all((0..10_u64).map(|i| {
            let (api, question) = (cluster.api(0), &question);
            let after = Duration::from_millis((wave as u64 * 37 + i * 53) % 700);
            async move {
                let asking = api.ask("demo", question, json!({ "stream": true }));
                // Dropping the request closes its connection.
                let _ = tokio::time::timeout(after, asking).await;
            }
        }))
        .await;
    }
    all_blocks_come_back(&cluster).await;
}
