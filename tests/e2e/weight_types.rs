//! Every weight type, between processes: one stage and three give the same tokens.

use checkpoint::WeightType;
use checkpoint::testing::{RandomModel, WeightMix, write_random_gguf};
use serde_json::json;
use tests::process::{Api, Cluster, ClusterOptions};

const PROMPTS: [&str; 3] = ["Hello", "the ant and the hat", "How much is 17 times 4?"];
/// Of the real 151,936: the embedding would be most of the file.
const VOCAB: u32 = 4096;

fn mixes() -> Vec<(&'static str, WeightMix)> {
    let uniform = WeightMix::uniform;
    vec![
        ("f32", uniform(WeightType::F32)),
        ("f16", uniform(WeightType::F16)),
        ("bf16", uniform(WeightType::BF16)),
        ("q8-0", uniform(WeightType::Q8_0)),
        ("q4-0", uniform(WeightType::Q4_0)),
        ("q5-0", uniform(WeightType::Q5_0)),
        ("q4-k", uniform(WeightType::Q4K)),
        ("q6-k", uniform(WeightType::Q6K)),
        ("q4-k-m", WeightMix::q4_k_m()),
    ]
}

async fn sixteen_tokens(api: &Api, model: &str) -> Vec<String> {
    let extra = json!({ "max_tokens": 16, "ignore_eos": true });
    let asked = PROMPTS.map(|prompt| api.ask(model, prompt, extra.clone()));
    let mut texts = Vec::new();
    for answer in futures::future::join_all(asked).await {
        let answer = answer.expect("an answer");
        assert_eq!(answer.completion_tokens, 16);
        texts.push(answer.text);
    }
    texts
}

/// The shape of Qwen2.5-0.5B with three layers. Its hidden size is no multiple of 256, so that
/// "K" files hold Q5_0 and Q8_0 beside K-quants, as llama.cpp's do.
#[tokio::test(flavor = "multi_thread")]
async fn the_split_changes_no_token_in_any_weight_type() {
    let cluster = Cluster::start(&ClusterOptions::default()).await;
    for (seed, (name, mix)) in mixes().into_iter().enumerate() {
        let shape = RandomModel::qwen2_half_billion(3, mix, seed as u64);
        let path = cluster.folder().join(format!("{name}.gguf"));
        write_random_gguf(&path, &RandomModel { vocab: VOCAB, ..shape }).expect("written");
        cluster.import(&path, name).await;
        let promise = |stages: u32| json!({ "stages": stages, "contextLength": 256 });
        cluster.deploy(name, promise(1)).await;
        let whole = sixteen_tokens(cluster.api(0), name).await;
        cluster.undeploy(name).await;
        cluster.deploy(name, promise(3)).await;
        assert_eq!(cluster.placement(name).await.len(), 3);
        assert_eq!(sixteen_tokens(cluster.api(0), name).await, whole, "{name}");
        cluster.undeploy(name).await;
    }
}
