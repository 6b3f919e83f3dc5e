//! Stages of several ranks: the tokens of one process, over either transport, until one is killed.

use protocol::control::Role;
use protocol::frame::{Frame, FrameKind};
use protocol::generate::{FinishReason, GenerateEvent, Refusal};
use protocol::ids::{Epoch, RankIndex};
use protocol::model_spec::LayerRange;
use protocol::plan::{ActivationType, CollectiveKind, Plan, PlanParts, RankPlan, Share, StagePlan};
use protocol::shard::{ShardFailure, ShardState};
use protocol::stream::{StreamAnswer, StreamHello};
use protocol::transport::{DirectStream, NodeTls};

use super::coordinator::{REPLICA, request};
use super::lab::SOON;
use super::{Cluster, KV, LAYERS, PROMPTS};

/// Of a stage: its (worker, units) in order, and the layer it ends at.
type Group<'a> = (&'a [(usize, u32)], u32);

fn grouped(cluster: &Cluster, groups: &[Group<'_>], collective: CollectiveKind) -> Plan {
    let mut first = 0;
    let mut stages = Vec::new();
    for (ranks, end) in groups {
        let of = ranks.iter().map(|(_, units)| units).sum();
        let mut start = 0;
        let rank = |&(worker, units): &(usize, u32)| {
            let node = cluster.workers[worker].node;
            let share = Share { start, units, of };
            start += units;
            RankPlan { node, device: 0, share }
        };
        let ranks = ranks.iter().map(rank).collect();
        stages.push(StagePlan { layers: LayerRange::new(first, *end), ranks, collective });
        first = *end;
    }
    let manifest = cluster.manifest;
    let activation = ActivationType::F32;
    let parts = PlanParts { manifest, layer_count: LAYERS, stages, kv: KV, activation };
    Plan::new(parts).expect("valid")
}

fn workers(groups: &[Group<'_>]) -> Vec<usize> {
    let mut all: Vec<_> = groups.iter().flat_map(|(ranks, _)| ranks.iter().map(|r| r.0)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_any_shares_beside_stages_give_the_tokens_of_one_process() {
    let cluster = Cluster::start(4).await;
    let shapes: [(&[Group<'_>], CollectiveKind); 6] = [
        (&[(&[(0, 1), (1, 1)], 4)], CollectiveKind::Direct),
        (&[(&[(1, 1), (0, 1)], 4)], CollectiveKind::Quic),
        (&[(&[(2, 2), (0, 1), (1, 1)], 4)], CollectiveKind::Direct),
        (&[(&[(0, 1), (1, 1), (2, 1), (3, 1)], 4)], CollectiveKind::Direct),
        (&[(&[(0, 1), (1, 1)], 2), (&[(2, 3), (3, 1)], 4)], CollectiveKind::Direct),
        // Two ranks on one worker, and a stage of one behind three.
        (&[(&[(0, 1), (1, 1), (0, 1)], 3), (&[(2, 1)], 4)], CollectiveKind::Quic),
    ];
    for (epoch, (groups, collective)) in (1..).zip(shapes) {
        let plan = grouped(&cluster, groups, collective);
        cluster.deploy(&workers(groups), epoch, &plan).await;
        let head = groups[0].0[0].0;
        let answers = PROMPTS.map(|prompt| cluster.generate(head, epoch, prompt, 8));
        for (prompt, answer) in PROMPTS.iter().zip(futures::future::join_all(answers).await) {
            let expected =
                (cluster.alone(prompt, 8), GenerateEvent::Finished(FinishReason::Length));
            assert_eq!(answer, expected, "{groups:?} over {collective:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rank_ends_its_group_and_the_next_epoch_goes_on() {
    for collective in [CollectiveKind::Direct, CollectiveKind::Quic] {
        let mut cluster = Cluster::start(3).await;
        let groups: &[Group<'_>] = &[(&[(0, 1), (1, 1)], 4)];
        cluster.deploy(&[0, 1], 1, &grouped(&cluster, groups, collective)).await;
        let head = cluster.workers[0].node;
        let expected = cluster.alone(&[1, 5, 9], 100);
        let running = cluster.coordinator.generate(head, 1, &request(&[1, 5, 9], 100)).await;
        let mut running = running.expect("accepted");
        assert_eq!(running.next().await, Some(GenerateEvent::Accepted));
        let mut before = Vec::new();
        for _ in 0..3 {
            let Some(GenerateEvent::Token(token)) = running.next().await else { panic!("a token") };
            before.push(token.token);
        }
        cluster.workers[1].kill();
        let (more, last) = running.finish().await;
        before.extend(more);
        let lost = matches!(last, GenerateEvent::Refused(Refusal::PipelineLost { .. }));
        assert!(lost, "{last:?}");
        let failed = |state: &ShardState| {
            matches!(state, ShardState::Failed { kind: ShardFailure::PipelineLost, .. })
        };
        cluster.coordinator.state(head, 1, "loss reported", failed).await;

        // The head's share stays as it is, the other one moves: the same degree, the same bits.
        let groups: &[Group<'_>] = &[(&[(0, 1), (2, 1)], 4)];
        cluster.deploy(&[0, 2], 2, &grouped(&cluster, groups, collective)).await;
        let mut resumed = request(&[1, 5, 9], 100);
        (resumed.emitted, resumed.resumed) = (before.clone(), true);
        let resumed = cluster.coordinator.generate(head, 2, &resumed).await.expect("accepted");
        let (rest, last) = resumed.finish().await;
        assert_eq!(last, GenerateEvent::Finished(FinishReason::Length));
        assert_eq!([before, rest].concat(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_for_the_ranks_of_its_epoch_alone() {
    let cluster = Cluster::start(2).await;
    let groups: &[Group<'_>] = &[(&[(0, 1), (1, 1)], 4)];
    cluster.deploy(&[0, 1], 5, &grouped(&cluster, groups, CollectiveKind::Direct)).await;
    let member = cluster.workers[1].node;
    let addresses = cluster.coordinator.registered(member).await.data_addresses;
    let tls = NodeTls::new(&cluster.lab.identity(Role::Worker)).expect("usable");
    let ask = async |epoch: u64, hello: &StreamHello| {
        let dialled = DirectStream::dial_any(&tls, &addresses, Some(member), SOON).await;
        let mut socket = dialled.expect("a member may dial");
        let frame = Frame::new(FrameKind::Hello, REPLICA, Epoch(epoch), hello).expect("encodes");
        socket.send(&frame).await.expect("sent");
        let answer = socket.recv().await.expect("an answer");
        answer.open::<StreamAnswer>(FrameKind::Answer).expect("an answer")
    };
    let link = StreamHello::Group { from: RankIndex(0), to: RankIndex(1) };
    assert_eq!(ask(4, &link).await, StreamAnswer::StaleEpoch);
    assert_eq!(ask(6, &link).await, StreamAnswer::NotYet);
    for hello in [link, StreamHello::Generate, StreamHello::Weights] {
        let answer = ask(5, &hello).await;
        assert!(matches!(answer, StreamAnswer::Forbidden { .. }), "{hello:?}: {answer:?}");
    }
    let stranger = super::lab::Lab::new();
    let tls = NodeTls::new(&stranger.identity(Role::Worker)).expect("usable");
    let refused = match DirectStream::dial_any(&tls, &addresses, None, SOON).await {
        Err(_) => true,
        // In TLS 1.3 a client hears of its refusal with the first byte it waits for.
        Ok(mut socket) => socket.recv().await.is_err(),
    };
    assert!(refused, "a node of another cluster");
    let (tokens, _) = cluster.generate(0, 5, &[1, 5, 9], 4).await;
    assert_eq!(tokens, cluster.alone(&[1, 5, 9], 4), "nothing was disturbed");
}
