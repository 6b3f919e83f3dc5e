//! Stages of several ranks in processes of their own: the same text, also when one of them dies.

use serde_json::{Value, json};
use tests::process::{Answer, Cluster, ClusterOptions, NodeProcess, repository_file};

use crate::same_text::{long_questions, questions};

const PROMPTS: usize = 4;

type Disturbance = fn(&mut NodeProcess);

async fn cluster(workers: usize, options: Value) -> Cluster {
    let cluster = Cluster::start(&ClusterOptions { workers, ..ClusterOptions::default() }).await;
    cluster.import(&repository_file("models/demo/demo.gguf"), "demo").await;
    cluster.deploy("demo", options).await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_two_three_and_four_and_mixes_with_stages_answer_as_one_process() {
    let cluster = cluster(4, json!({ "tp": [2] })).await;
    let shapes = [
        (json!({ "tp": [2] }), vec![2]),
        (json!({ "tp": [3] }), vec![3]),
        (json!({ "tp": [4] }), vec![4]),
        (json!({ "tp": [2], "stages": 2, "stepTokensMax": 7 }), vec![2, 2]),
        (json!({ "tp": [3, 1] }), vec![3, 1]),
    ];
    for (index, (options, expected)) in shapes.into_iter().enumerate() {
        if index > 0 {
            cluster.undeploy("demo").await;
            cluster.deploy("demo", options).await;
        }
        let ranks: Vec<_> = cluster.ranks("demo").await.iter().map(Vec::len).collect();
        assert_eq!(ranks, expected);
        let asked = questions().into_iter().take(PROMPTS);
        let asked = asked.map(async |(question, expected_answer)| {
            let answer = cluster.api(0).ask("demo", &question, json!({ "stream": true })).await;
            let answer = answer.unwrap_or_else(|e| panic!("{e:?}\n{}", cluster.logs()));
            assert_eq!(answer.text.trim(), expected_answer.trim(), "{expected:?} ranks");
            assert_eq!(answer.reshared_after, None);
        });
        futures::future::join_all(asked).await;
    }
}

/// Streams a long answer and does something to rank `victim` of the first stage once a third of it
/// has come; the answer, the text until then, and the text that one process gives.
async fn disturb(
    cluster: &mut Cluster,
    victim: usize,
    disturb: Disturbance,
) -> (Answer, String, String) {
    let (question, expected) = long_questions().swap_remove(0);
    let name = cluster.ranks("demo").await[0][victim].clone();
    let api = cluster.api(0).clone();
    let (seen, mut middle) = tokio::sync::watch::channel(String::new());
    let third = expected.len() / 3;
    let asking = tokio::spawn(async move {
        let messages = json!([{ "role": "user", "content": question }]);
        let body = json!({ "model": "demo", "temperature": 0, "messages": messages });
        api.stream(body, |text| {
            seen.send_replace(text.to_owned());
        })
        .await
    });
    let middle = middle.wait_for(|text| text.len() >= third).await;
    // The borrow would keep the stream from going on.
    let before = middle.map(|text| text.clone()).expect("the stream runs");
    disturb(cluster.worker(&name));
    let answer = asking.await.expect("no panic");
    let answer = answer.unwrap_or_else(|e| panic!("rank {victim}: {e:?}\n{}", cluster.logs()));
    (answer, before, expected.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_rank_may_die_or_freeze_where_another_node_takes_its_share() {
    let deaths: [(usize, Disturbance); 3] =
        [(0, |node| node.kill()), (1, |node| node.kill()), (1, |node| node.freeze())];
    let mut cluster = cluster(3, json!({ "tp": [2] })).await;
    for (victim, death) in deaths {
        let name = cluster.ranks("demo").await[0][victim].clone();
        let (answer, _, expected) = disturb(&mut cluster, victim, death).await;
        assert_eq!(answer.text.trim(), expected, "rank {victim}");
        assert_eq!(answer.reshared_after, None, "the degree was kept");
        if cluster.worker(&name).is_running() {
            cluster.worker(&name).kill();
        }
        cluster.worker(&name).restart();
        cluster.nodes_ready(3).await;
        cluster.deployment_state("demo", "ready").await;
        assert_eq!(cluster.ranks("demo").await[0].len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_another_node_the_answer_goes_on_alone_and_says_so() {
    let mut cluster = cluster(2, json!({ "tp": [2] })).await;
    let (answer, before, _) = disturb(&mut cluster, 1, |node| node.kill()).await;
    assert!(answer.text.starts_with(&before), "{before}\n{}", answer.text);
    assert_eq!(answer.finish_reason, "stop");
    let after = answer.reshared_after.expect("the answer is marked");
    assert!(after > 0 && after < answer.completion_tokens, "{after}");
    assert_eq!(cluster.ranks("demo").await.iter().map(Vec::len).collect::<Vec<_>>(), [1]);
    let view = cluster.api(0).get("/admin/v1/models/demo").await.expect("a model");
    let reason = view["deployment"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("[2] were asked for"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_ranks_shares_and_what_they_exchange_over() {
    let cluster = cluster(4, json!({ "stages": 1 })).await;
    let plan = |arguments: &[&str]| {
        let output = cluster.cli(&[&["plan", "demo"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = plan(&["--pp", "2", "--tp", "2"]);
    let lines = text.lines().filter(|line| line.contains("/64")).count();
    assert_eq!(lines, 4, "{text}");
    let why = text.lines().filter(|l| l.contains("per exchange") || l.contains("not measured"));
    assert_eq!(why.count(), 2, "{text}");
    let json: Value = serde_json::from_str(&plan(&["--tp", "3,1", "-o", "json"])).expect("JSON");
    let stages = json["stages"].as_array().expect("stages");
    let ranks = stages.iter().map(|s| s["ranks"].as_array().map_or(0, Vec::len));
    assert_eq!(ranks.collect::<Vec<_>>(), [3, 1]);
    assert_eq!(stages[0]["ranks"][0]["share"]["of"], 64, "{json:#}");
    let refused = cluster.cli(&["plan", "demo", "--pp", "3", "--tp", "2,1"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("tp names the ranks of 2 stages, but 3 were asked for"), "{said}");
}
