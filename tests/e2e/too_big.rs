//! A model too big for one node: refused there with the numbers, served by three.

use checkpoint::Manifest;
use checkpoint::testing::{RandomModel, WeightMix, write_random_gguf};
use engine::{StageConfig, StageMemory};
use protocol::model_spec::KvType;
use serde_json::json;
use tests::process::{Cluster, ClusterOptions};

const LIMIT: u64 = 560_000_000;

/// Weights as the plan tells them, a pool that is full, and what the process needs beside.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: writes and loads 0.8 GB"]
async fn a_loaded_model_takes_the_memory_that_its_plan_tells() {
    let cluster = Cluster::start(&ClusterOptions { workers: 1, ..ClusterOptions::default() }).await;
    let path = cluster.folder().join("llama-1b.gguf");
    let model = RandomModel::llama_one_billion(WeightMix::q4_k_m(), 2);
    write_random_gguf(&path, &model).expect("written");
    cluster.import(&path, "big").await;
    let before = cluster.workers[0].resident_memory();
    cluster.deploy("big", json!({ "contextLength": 512, "sequencesMax": 1 })).await;
    let view = cluster.api(0).get("/admin/v1/models/big").await.expect("a model");
    let stage = &view["deployment"]["stages"][0];
    let bytes = |field: &str| stage[field].as_u64().expect("a number");
    let (weights, kv) = (bytes("weightBytes"), bytes("kvBytes"));
    let checkpoint = checkpoint::open(&path).expect("the file opens");
    let manifest = Manifest::build(&checkpoint, &mut |_, _| {}).expect("the file reads");
    let config = StageConfig::whole_model(&manifest.spec, 512, KvType::F16);
    let told = StageMemory::estimate(&manifest, &config).expect("all tensors are there");
    assert_eq!((told.weights, told.kv), (weights, kv));
    let words = "one two three four five six seven eight nine ten ".repeat(8);
    let extra = json!({ "max_tokens": 400, "ignore_eos": true });
    cluster.api(0).ask("big", &words, extra).await.expect("an answer");
    let (taken, told) = (cluster.workers[0].resident_memory() - before, told.total());
    assert!(taken.abs_diff(told) < told * 3 / 100, "{taken} taken, {told} told");
    let peak = cluster.workers[0].peak_memory();
    assert!(peak < weights + kv + 150_000_000, "{peak} for {weights} and {kv}");
}

/// The Llama-3.2-1B shape with random Q4_K and Q6_K blocks, about 0.8 GB.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: writes and loads 0.8 GB"]
async fn three_capped_workers_serve_what_one_refuses() {
    let options = ClusterOptions {
        workers: 3,
        memory_limit: Some("560MB".to_owned()),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&options).await;
    let path = cluster.folder().join("llama-1b.gguf");
    let model = RandomModel::llama_one_billion(WeightMix::q4_k_m(), 1);
    write_random_gguf(&path, &model).expect("written");
    cluster.import(&path, "big").await;
    let promise = json!({ "contextLength": 512, "sequencesMax": 2, "stages": 1 });
    let refused = cluster.try_deploy("big", promise).await.to_string();
    assert!(refused.contains("needs") && refused.contains("more"), "{refused}");
    cluster.deploy("big", json!({ "contextLength": 512, "sequencesMax": 2 })).await;
    assert!(cluster.placement("big").await.len() >= 2);
    let extra = json!({ "max_tokens": 16, "ignore_eos": true });
    let answer = cluster.api(0).ask("big", "Hello", extra).await.expect("an answer");
    assert_eq!(answer.completion_tokens, 16);
    for worker in &cluster.workers {
        let peak = worker.peak_memory();
        assert!(peak < LIMIT, "{} took {peak} bytes", worker.name);
    }
}
