//! The split is invisible: one stage or four, alone or in a batch, streamed or not, the same text.

use futures::future::join_all;
use serde_json::json;
use tests::process::{Api, Cluster, ClusterOptions, repository_file};

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

const PROMPTS: usize = 50;

#[derive(Clone, Copy, PartialEq)]
enum Choice {
    Greedy,
    Seeded,
}

/// The answer to question `index`; seeded draws differ from greedy ones.
async fn answer(api: &Api, choice: Choice, index: usize, question: &str, stream: bool) -> String {
    let extra = match choice {
        Choice::Greedy => json!({ "stream": stream }),
        Choice::Seeded => json!({
            "stream": stream, "temperature": 1.5, "seed": index, "max_tokens": 24,
        }),
    };
    let answer = api.ask("demo", question, extra).await.expect("an answer");
    answer.text.trim().to_owned()
}

/// One after the other; every second one streamed.
async fn alone(api: &Api, choice: Choice, questions: &[(String, String)]) -> Vec<String> {
    let mut answers = Vec::new();
    for (index, (question, _)) in questions.iter().enumerate() {
        answers.push(answer(api, choice, index, question, index % 2 == 0).await);
    }
    answers
}

/// Sixteen at a time, those streamed that were not alone.
async fn in_batches(api: &Api, choice: Choice, questions: &[(String, String)]) -> Vec<String> {
    let all: Vec<_> = questions.iter().enumerate().collect();
    let mut answers = Vec::new();
    for batch in all.chunks(16) {
        let asked = batch
            .iter()
            .map(|(index, (question, _))| answer(api, choice, *index, question, index % 2 == 1));
        answers.extend(join_all(asked).await);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn one_to_four_stages_answer_the_same() {
    let options = ClusterOptions { workers: 4, ..ClusterOptions::default() };
    let cluster = Cluster::with_demo(&options, 1).await;
    let api = cluster.api(0);
    let questions: Vec<_> = questions().into_iter().take(PROMPTS).collect();
    let expected: Vec<_> = questions.iter().map(|(_, answer)| answer.trim().to_owned()).collect();
    let drawn = alone(api, Choice::Seeded, &questions).await;
    let strays = drawn.iter().zip(&expected).filter(|(drawn, greedy)| drawn != greedy).count();
    assert!(strays > PROMPTS / 4, "only {strays} of {PROMPTS} seeds left the greedy path");
    for stages in 1..=4 {
        // Chunks of a prime length, then prompts in one piece.
        for step_tokens in [7, 256] {
            cluster.undeploy("demo").await;
            let promise = json!({ "stages": stages, "stepTokensMax": step_tokens });
            cluster.deploy("demo", promise).await;
            assert_eq!(cluster.placement("demo").await.len(), stages);
            let how = format!("{stages} stages, steps of {step_tokens}");
            for (choice, expected) in [(Choice::Greedy, &expected), (Choice::Seeded, &drawn)] {
                assert_eq!(&in_batches(api, choice, &questions).await, expected, "{how}");
            }
            assert_eq!(alone(api, Choice::Greedy, &questions).await, expected, "{how}, alone");
        }
        assert_eq!(alone(api, Choice::Seeded, &questions).await, drawn, "{stages} stages");
    }
}
