//! A model with recurrent layers between processes: in stages, in a batch and after a loss it
//! gives the tokens that one process gives.

use serde_json::json;
use tests::process::{Api, Cluster, ClusterOptions, repository_file};

const MODEL: &str = "hybrid";
const PROMPTS: [&str; 4] = ["Hello", "the ant and the hat", "How much is 17 times 4?", "on and on"];
/// The fixture's context is 128 tokens.
const TOKENS: u32 = 80;

async fn together(api: &Api) -> Vec<String> {
    let extra = json!({ "max_tokens": TOKENS, "ignore_eos": true });
    let asked = PROMPTS.map(|prompt| api.ask(MODEL, prompt, extra.clone()));
    let answers = futures::future::join_all(asked).await;
    answers.into_iter().map(|answer| answer.expect("an answer").text).collect()
}

/// Streams the first prompt's answer and kills the node of `victim`'s stage after its first text.
async fn killed_in_the_middle(cluster: &mut Cluster, victim: usize) -> String {
    let name = cluster.placement(MODEL).await[victim].clone();
    let api = cluster.api(0).clone();
    let (seen, mut begun) = tokio::sync::watch::channel(0_usize);
    let asking = tokio::spawn(async move {
        let body = json!({
            "model": MODEL, "temperature": 0, "max_tokens": TOKENS, "ignore_eos": true,
            "messages": [{ "role": "user", "content": PROMPTS[0] }],
        });
        let keep = |text: &str| {
            seen.send_replace(text.len());
        };
        api.stream(body, keep).await
    });
    begun.wait_for(|length| *length > 0).await.expect("the stream runs");
    cluster.worker(&name).kill();
    let known = *begun.borrow();
    let answer = asking.await.expect("no panic").expect("an answer").text;
    assert!(known < answer.len(), "the answer was over before {name} was killed");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_batches_and_a_loss_change_no_token() {
    let options = ClusterOptions { workers: 4, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options).await;
    cluster.import(&repository_file("fixtures/golden/qwen3.5-moe"), MODEL).await;
    cluster.deploy(MODEL, json!({ "stages": 1, "contextLength": 128 })).await;
    let whole = together(cluster.api(0)).await;
    cluster.undeploy(MODEL).await;
    cluster.deploy(MODEL, json!({ "stages": 3, "contextLength": 128 })).await;
    assert_eq!(cluster.placement(MODEL).await.len(), 3);
    // Each time in slots that others have had.
    for _ in 0..3 {
        assert_eq!(together(cluster.api(0)).await, whole);
    }
    assert_eq!(killed_in_the_middle(&mut cluster, 1).await, whole[0]);
}
