//! The split is invisible: one stage or four, alone or in a batch, streamed or not, the same text.

use futures::future::join_all;
use serde_json::json;
use tests::process::{Answer, Api, Cluster, ClusterOptions, repository_file};

/// Questions whose answers are asserted; the demo model's trainer picked them for their margins.
pub(crate) fn questions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(repository_file("models/demo/questions.json"));
    let list: serde_json::Value =
        serde_json::from_str(&text.expect("questions")).expect("questions are JSON");
    let items = list["questions"].as_array().or(list.as_array()).expect("a list").clone();
    let mut found = Vec::new();
    for item in &items {
        let messages = item["messages"].as_array().expect("messages");
        if let [message] = messages.as_slice() {
            let question = message["content"].as_str().expect("a question").to_owned();
            found.push((question, item["answer"].as_str().expect("an answer").to_owned()));
        }
    }
    assert!(found.len() >= 40, "only {} questions", found.len());
    found
}

/// The longest answers first: room to kill somebody in the middle.
pub(crate) fn long_questions() -> Vec<(String, String)> {
    let mut all = questions();
    all.sort_by_key(|(_, answer)| std::cmp::Reverse(answer.len()));
    all
}

const SEEDED: &str = "Write a sentence about the sea.";

async fn seeded(api: &Api, seed: u64, stream: bool) -> Answer {
    let extra = json!({ "temperature": 1.0, "seed": seed, "stream": stream });
    api.ask("demo", SEEDED, extra).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_to_four_stages_answer_the_same() {
    let options = ClusterOptions { workers: 4, ..ClusterOptions::default() };
    let cluster = Cluster::with_demo(&options, 1).await;
    let api = cluster.api(0);
    let mut expected_draws = Vec::new();
    for stages in 1..=4 {
        if stages > 1 {
            cluster.undeploy("demo").await;
            cluster.deploy("demo", json!({ "stages": stages })).await;
        }
        assert_eq!(cluster.placement("demo").await.len(), stages);
        for (question, expected) in questions().iter().take(12) {
            let answer = api.ask("demo", question, json!({})).await.expect("an answer");
            assert_eq!(answer.text.trim(), expected.trim(), "{stages} stages, alone");
            assert_eq!(answer.finish_reason, "stop");
        }
        batch_of_sixteen(api, stages).await;
        let mut draws = Vec::new();
        for seed in 0..4 {
            let (whole, streamed) = (seeded(api, seed, false).await, seeded(api, seed, true).await);
            assert_eq!(whole, streamed, "{stages} stages, seed {seed}");
            draws.push(whole.text);
        }
        if stages == 1 {
            expected_draws = draws;
        } else {
            assert_eq!(draws, expected_draws, "{stages} stages");
        }
    }
    let mut distinct = expected_draws.clone();
    distinct.dedup();
    assert!(distinct.len() > 1, "seeds draw different sentences: {expected_draws:?}");
}

async fn batch_of_sixteen(api: &Api, stages: usize) {
    let questions = questions();
    let answers = join_all(questions.iter().skip(12).take(16).map(|(question, expected)| async {
        let extra = json!({ "stream": true });
        let answer = api.ask("demo", question, extra).await.expect("an answer");
        (answer.text.trim().to_owned(), expected.trim().to_owned())
    }));
    for (answer, expected) in answers.await {
        assert_eq!(answer, expected, "{stages} stages, in a batch");
    }
}
