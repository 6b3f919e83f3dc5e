//! Workers over real QUIC on loopback, with hand-made plans and a coordinator that is a fake.

mod coordinator;
mod golden_groups;
mod groups;
mod lab;
mod questions;

use std::ops::ControlFlow;
use std::time::Duration;

use checkpoint::Manifest;
use engine::{FileSource, GenerateOptions, Stage, StageConfig};
use protocol::control::Role;
use protocol::generate::{FinishReason, GenerateEvent, Refusal};
use protocol::ids::{Digest, NodeId, RankIndex, TokenId};
use protocol::model_spec::{KvType, LayerRange};
use protocol::plan::{
    ActivationType, CollectiveKind, KvPlan, Plan, PlanParts, RankPlan, Share, StagePlan,
};
use protocol::shard::{ShardFailure, ShardState};
use protocol::stream::{StreamAnswer, StreamHello};
use protocol::transport::{NodeTls, QuicEndpoint, QuicSettings};

use coordinator::{Coordinator, hello, request};
use lab::{Lab, RunningWorker};

const LAYERS: u32 = 4;

const KV: KvPlan = KvPlan {
    kv_type: KvType::F16,
    block_size: 16,
    blocks: 32,
    context_length: 256,
    sequences_max: 8,
    step_tokens_max: 64,
};

/// A plan over `cuts`: (node, end layer) of each stage in order.
fn plan(manifest: Digest, cuts: &[(NodeId, u32)]) -> Plan {
    let mut start = 0;
    let mut stages = Vec::new();
    for &(node, end) in cuts {
        let ranks = vec![RankPlan { node, device: 0, share: Share::WHOLE }];
        let (layers, collective) = (LayerRange::new(start, end), CollectiveKind::Direct);
        stages.push(StagePlan { layers, ranks, collective });
        start = end;
    }
    let activation = ActivationType::F32;
    let parts = PlanParts { manifest, layer_count: LAYERS, stages, kv: KV, activation };
    Plan::new(parts).expect("valid")
}

/// A lab with a coordinator and `count` workers, the first of which holds the model.
struct Cluster {
    lab: Lab,
    coordinator: Coordinator,
    workers: Vec<RunningWorker>,
    manifest: Digest,
}

impl Cluster {
    async fn start(count: usize) -> Self {
        let lab = Lab::new();
        let coordinator = Coordinator::start(&lab).await;
        let start = |i: usize| lab.worker(&format!("w{i}"), &coordinator.address);
        let workers: Vec<_> = (0..count).map(start).collect();
        let manifest = coordinator::import(&coordinator, workers[0].node, &lab.model).await;
        Self { lab, coordinator, workers, manifest }
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.workers.iter().map(|worker| worker.node).collect()
    }

    fn plan(&self, cuts: &[(usize, u32)]) -> Plan {
        let cuts: Vec<_> = cuts.iter().map(|(w, end)| (self.workers[*w].node, *end)).collect();
        plan(self.manifest, &cuts)
    }

    /// Places `plan` on `workers` and waits until all of them are ready.
    async fn deploy(&self, workers: &[usize], epoch: u64, plan: &Plan) {
        let nodes: Vec<_> = workers.iter().map(|w| self.workers[*w].node).collect();
        let holders = [self.workers[0].node];
        self.coordinator.desire(&nodes, epoch, plan, &holders).await;
        self.coordinator.ready(&nodes, epoch).await;
    }

    /// What one process makes of the same request.
    fn alone(&self, prompt: &[u32], tokens_max: u32) -> Vec<TokenId> {
        let checkpoint = checkpoint::open(&self.lab.model).expect("readable");
        let manifest = Manifest::build(&checkpoint, &mut |_, _| {}).expect("builds");
        let source = FileSource::open(&checkpoint.files).expect("opens");
        let config = StageConfig::whole_model(&manifest.spec, KV.context_length, KV.kv_type);
        let stage = Stage::load(&manifest, &source, &config, &mut |_| {}).expect("loads");
        let request = request(prompt, tokens_max);
        let options = GenerateOptions {
            sampling: request.sampling,
            choice_seed: request.choice_seed,
            tokens_max,
            ..GenerateOptions::default()
        };
        let mut tokens = Vec::new();
        let mut keep = |sample: &protocol::step_batch::SampledToken| {
            tokens.push(sample.token);
            ControlFlow::Continue(())
        };
        engine::generate(&mut [stage], &request.prompt, &options, &mut keep).expect("generates");
        tokens
    }

    /// Generates at the head of `epoch`; tokens and the last event.
    async fn generate(
        &self,
        head: usize,
        epoch: u64,
        prompt: &[u32],
        tokens_max: u32,
    ) -> (Vec<TokenId>, GenerateEvent) {
        let head = self.workers[head].node;
        let answer = self.coordinator.generate(head, epoch, &request(prompt, tokens_max)).await;
        answer.expect("accepted").finish().await
    }
}

const PROMPTS: [&[u32]; 3] = [&[1, 5, 9], &[7; 40], &[300, 2, 17, 4, 4, 250, 11]];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn split_over_three_nodes_the_tokens_are_those_of_one_process() {
    let cluster = Cluster::start(3).await;
    let done = FinishReason::Length;
    let cuts: [&[(usize, u32)]; 3] = [&[(1, 4)], &[(0, 2), (2, 4)], &[(2, 1), (0, 3), (1, 4)]];
    for (i, cuts) in cuts.into_iter().enumerate() {
        let (epoch, plan) = (i as u64 + 1, cluster.plan(cuts));
        cluster.coordinator.desire(&cluster.nodes(), epoch, &plan, &cluster.nodes()[..1]).await;
        cluster.deploy(&cuts.iter().map(|c| c.0).collect::<Vec<_>>(), epoch, &plan).await;
        let answers = PROMPTS.map(|prompt| cluster.generate(cuts[0].0, epoch, prompt, 8));
        for (prompt, answer) in PROMPTS.iter().zip(futures::future::join_all(answers).await) {
            assert_eq!(answer, (cluster.alone(prompt, 8), GenerateEvent::Finished(done)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_that_follow_each_other_while_stages_load_end_with_the_last_one_ready() {
    let cluster = Cluster::start(2).await;
    cluster.deploy(&[0, 1], 1, &cluster.plan(&[(0, 2), (1, 4)])).await;
    let plans = [cluster.plan(&[(0, 1), (1, 4)]), cluster.plan(&[(1, 1), (0, 4)])];
    let mut epoch = 1;
    for burst in 0..30 {
        for plan in &plans {
            epoch += 1;
            let holders = &cluster.nodes()[..1];
            cluster.coordinator.desire(&cluster.nodes(), epoch, plan, holders).await;
            tokio::time::sleep(Duration::from_micros(burst % 10 * 400)).await;
        }
        cluster.coordinator.ready(&cluster.nodes(), epoch).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_another_epoch_a_foreign_node_or_a_worker_are_refused() {
    let cluster = Cluster::start(2).await;
    cluster.deploy(&[0, 1], 5, &cluster.plan(&[(0, 2), (1, 4)])).await;
    let head = cluster.workers[0].node;
    let ask =
        async |epoch| cluster.coordinator.generate(head, epoch, &request(&[1], 2)).await.err();
    assert_eq!(ask(4).await, Some(StreamAnswer::StaleEpoch));
    assert_eq!(ask(6).await, Some(StreamAnswer::NotYet));
    let not_the_head = cluster.workers[1].node;
    let elsewhere = cluster.coordinator.generate(not_the_head, 5, &request(&[1], 2)).await.err();
    assert_eq!(elsewhere, Some(StreamAnswer::NotYet));

    // Another worker of the same cluster, which is not part of the plan.
    let tls = NodeTls::new(&cluster.lab.identity(Role::Worker)).expect("usable");
    let any = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let outsider = QuicEndpoint::bind(any, tls, QuicSettings::default()).expect("bound");
    let addresses = cluster.coordinator.registered(head).await.data_addresses;
    let connection = outsider.dial_any(&addresses, Some(head)).await.expect("a member may dial");
    let edge = StreamHello::Edge { from: RankIndex(1), to: RankIndex(0) };
    for stream in [edge, StreamHello::Generate] {
        let answer = hello(&connection, &stream, 5).await.err();
        assert!(matches!(answer, Some(StreamAnswer::Forbidden { .. })), "{stream:?}: {answer:?}");
    }
    let (tokens, _) = cluster.generate(0, 5, &[1, 5, 9], 4).await;
    assert_eq!(tokens, cluster.alone(&[1, 5, 9], 4), "nothing was disturbed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_ends_its_sequences_and_the_next_epoch_answers_the_same() {
    let mut cluster = Cluster::start(3).await;
    cluster.deploy(&[0, 1, 2], 1, &cluster.plan(&[(0, 2), (1, 3), (2, 4)])).await;
    let head = cluster.workers[0].node;
    let expected = cluster.alone(&[1, 5, 9], 100);
    let running = cluster.coordinator.generate(head, 1, &request(&[1, 5, 9], 100)).await;
    let mut running = running.expect("accepted");
    assert_eq!(running.next().await, Some(GenerateEvent::Accepted));
    let mut before = Vec::new();
    for _ in 0..3 {
        let Some(GenerateEvent::Token(token)) = running.next().await else { panic!("no token") };
        before.push(token.token);
    }
    cluster.workers[1].kill();
    let (more, last) = running.finish().await;
    before.extend(more);
    let lost = matches!(last, GenerateEvent::Refused(Refusal::PipelineLost { .. }));
    assert!(lost, "{last:?}");
    assert_eq!(before[..], expected[..before.len()]);
    let failed = |state: &ShardState| {
        matches!(state, ShardState::Failed { kind: ShardFailure::PipelineLost, .. })
    };
    for survivor in [head, cluster.workers[2].node] {
        cluster.coordinator.state(survivor, 1, "loss reported", failed).await;
    }

    // The head's own layers stay as they are, the rest moves to the last worker.
    cluster.deploy(&[0, 2], 2, &cluster.plan(&[(0, 2), (2, 4)])).await;
    let mut resumed = request(&[1, 5, 9], 100);
    (resumed.emitted, resumed.resumed) = (before.clone(), true);
    let resumed = cluster.coordinator.generate(head, 2, &resumed).await.expect("accepted");
    let (rest, last) = resumed.finish().await;
    assert_eq!(last, GenerateEvent::Finished(FinishReason::Length));
    assert_eq!([before, rest].concat(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_or_abandoned_stream_gives_its_blocks_back() {
    let cluster = Cluster::start(2).await;
    cluster.deploy(&[0, 1], 1, &cluster.plan(&[(0, 2), (1, 4)])).await;
    let head = cluster.workers[0].node;
    for cancelled in [true, false] {
        let answer = cluster.coordinator.generate(head, 1, &request(&[3; 60], 150)).await;
        let mut answer = answer.expect("accepted");
        assert_eq!(answer.next().await, Some(GenerateEvent::Accepted));
        assert!(matches!(answer.next().await, Some(GenerateEvent::Token(_))));
        if cancelled {
            answer.cancel().await;
        } else {
            drop(answer);
        }
        let idle = |load: &protocol::shard::ReplicaLoad| {
            load.running == 0 && load.blocks_free == load.blocks_total
        };
        cluster.coordinator.load(head, idle).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_shuts_down_says_so_and_a_removed_one_does_not_go_on() {
    let mut cluster = Cluster::start(2).await;
    cluster.deploy(&[0], 1, &cluster.plan(&[(0, 4)])).await;
    let head = cluster.workers[0].node;
    // Holds the context's most; a drain of one second ends it early unless it was quick.
    let running = cluster.coordinator.generate(head, 1, &request(&[1, 5, 9], 250)).await;
    let mut running = running.expect("accepted");
    assert_eq!(running.next().await, Some(GenerateEvent::Accepted));
    tokio::task::block_in_place(|| cluster.workers[0].stop()).expect("a clean end");
    let (_, last) = running.finish().await;
    let ended =
        matches!(last, GenerateEvent::Refused(Refusal::ShuttingDown) | GenerateEvent::Finished(_));
    assert!(ended, "{last:?}");

    let other = cluster.workers[1].node;
    cluster.coordinator.registered(other).await;
    cluster.coordinator.send(other, &protocol::control::CoordinatorMessage::Removed).await;
    let end = tokio::task::block_in_place(|| cluster.workers[1].ended());
    assert!(matches!(end, Err(worker::WorkerError::Removed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_over_the_memory_limit_is_refused_with_the_nodes_name_and_the_figures() {
    let cluster = Cluster::start(1).await;
    let (holder, coordinator) = (cluster.workers[0].node, &cluster.coordinator);
    let limit = worker::config::PROCESS_RESERVE_BYTES + (1 << 20);
    let small = cluster.lab.worker_within("small", &coordinator.address, Some(limit));
    let whole = plan(cluster.manifest, &[(small.node, LAYERS)]);
    coordinator.registered(holder).await;
    coordinator.desire(&[small.node], 1, &whole, &[holder]).await;
    let failed = |state: &ShardState| matches!(state, ShardState::Failed { .. });
    let state = coordinator.state(small.node, 1, "refusal", failed).await;
    let ShardState::Failed { kind, reason } = state else { panic!("not failed") };
    assert_eq!(kind, ShardFailure::OutOfMemory);
    assert!(reason.contains("node small device cpu has 1048576 bytes free"), "{reason}");
}
