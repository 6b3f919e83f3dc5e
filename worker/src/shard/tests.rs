//! State and event in, actions out.

use super::*;
use protocol::ids::{Digest, Epoch};
use protocol::model_spec::{KvType, LayerRange};
use protocol::plan::{
    ActivationType, CollectiveKind, KvPlan, Plan, PlanParts, RankPlan, Share, StagePlan,
};

const ME: u8 = 1;
const SECOND: Duration = Duration::from_secs(1);

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

/// A plan over `cuts`: (node, end layer) of each stage in order.
fn plan(cuts: &[(u8, u32)]) -> Plan {
    let mut start = 0;
    let stages = cuts.iter().map(|&(n, end)| {
        let layers = LayerRange::new(start, end);
        start = end;
        let ranks = vec![RankPlan { node: node(n), device: 0, share: Share::WHOLE }];
        StagePlan { layers, ranks, collective: CollectiveKind::Direct }
    });
    let stages = stages.collect();
    let kv = KvPlan {
        kv_type: KvType::F16,
        block_size: 16,
        blocks: 8,
        context_length: 128,
        sequences_max: 4,
        step_tokens_max: 64,
    };
    let (manifest, activation) = (Digest::of(b"m"), ActivationType::F32);
    Plan::new(PlanParts { manifest, layer_count: start, stages, kv, activation }).expect("valid")
}

fn shard(epoch: u64, cuts: &[(u8, u32)]) -> DesiredShard {
    let holders = vec![node(9)];
    DesiredShard { replica: ReplicaId(5), epoch: Epoch(epoch), plan: plan(cuts), holders }
}

fn set(index: u64, shards: Vec<DesiredShard>) -> ShardEvent {
    ShardEvent::Desired(DesiredShards { index, shards, addresses: BTreeMap::new() })
}

fn key(epoch: u64) -> ShardKey {
    ShardKey { replica: ReplicaId(5), epoch: Epoch(epoch) }
}

fn lifecycle() -> ShardLifecycle {
    ShardLifecycle::new(node(ME), ShardTimeouts::default())
}

/// A lifecycle whose shard of epoch 3 is ready.
fn ready() -> ShardLifecycle {
    let mut life = lifecycle();
    life.step(set(3, vec![shard(3, &[(1, 4), (2, 8)])]), Duration::ZERO);
    life.step(ShardEvent::Fetched { key: key(3) }, Duration::ZERO);
    life.step(ShardEvent::Loaded { key: key(3) }, Duration::ZERO);
    life.step(ShardEvent::Connected { key: key(3) }, Duration::ZERO);
    assert_eq!(state(&life), ShardState::Ready);
    life
}

fn state(life: &ShardLifecycle) -> ShardState {
    life.statuses().first().expect("one shard").state.clone()
}

#[test]
fn a_new_shard_is_fetched_loaded_connected_and_then_ready() {
    let mut life = lifecycle();
    let wanted = Arc::new(shard(3, &[(1, 4), (2, 8)]));
    let at = Duration::ZERO;
    let report = ShardAction::Report;
    let actions = life.step(set(3, vec![(*wanted).clone()]), at);
    assert_eq!(actions, [ShardAction::Fetch { shard: wanted.clone() }, report.clone()]);
    let actions = life.step(ShardEvent::Fetched { key: key(3) }, at);
    assert_eq!(actions, [ShardAction::Load { shard: wanted.clone() }, report.clone()]);
    let actions = life.step(ShardEvent::Loaded { key: key(3) }, at);
    assert_eq!(actions, [ShardAction::Connect { shard: wanted }, report.clone()]);
    assert_eq!(life.step(ShardEvent::Connected { key: key(3) }, at), [report]);
    assert_eq!(state(&life), ShardState::Ready);
}

#[test]
fn an_older_set_and_an_older_epoch_change_nothing() {
    let mut life = ready();
    assert_eq!(life.step(set(2, vec![]), SECOND), []);
    assert_eq!(life.step(set(4, vec![shard(2, &[(1, 8)])]), SECOND), []);
    assert_eq!(life.step(set(4, vec![shard(3, &[(1, 4), (2, 8)])]), SECOND), []);
    assert_eq!(state(&life), ShardState::Ready);
}

#[test]
fn outcomes_of_an_older_epoch_are_ignored() {
    let mut life = ready();
    life.step(set(4, vec![shard(4, &[(1, 8)])]), SECOND);
    assert_eq!(life.step(ShardEvent::Fetched { key: key(3) }, SECOND), []);
    let lost = ShardFailure::PipelineLost;
    let late = ShardEvent::Failed { key: key(3), kind: lost, reason: "gone".into() };
    assert_eq!(life.step(late, SECOND), []);
    assert!(matches!(state(&life), ShardState::Fetching { .. }));
}

#[test]
fn a_newer_epoch_with_the_same_stage_keeps_the_loaded_weights() {
    let mut life = ready();
    let moved = shard(4, &[(1, 4), (3, 8)]);
    let actions = life.step(set(4, vec![moved.clone()]), SECOND);
    let reuse = ShardAction::Reuse { shard: Arc::new(moved), from: Epoch(3) };
    assert_eq!(actions, [reuse, ShardAction::Report]);
}

#[test]
fn a_newer_epoch_with_other_layers_frees_the_old_ones_first() {
    let mut life = ready();
    let grown = shard(4, &[(1, 8)]);
    let actions = life.step(set(4, vec![grown.clone()]), SECOND);
    let replica = ReplicaId(5);
    let fetch = ShardAction::Fetch { shard: Arc::new(grown) };
    assert_eq!(actions, [ShardAction::Drop { replica }, fetch, ShardAction::Report]);
}

#[test]
fn a_shard_left_out_or_moved_to_other_nodes_is_dropped() {
    for rest in [vec![], vec![shard(4, &[(2, 8)])]] {
        let mut life = ready();
        let actions = life.step(set(4, rest), SECOND);
        assert_eq!(actions, [ShardAction::Drop { replica: ReplicaId(5) }, ShardAction::Report]);
        assert_eq!(life.statuses(), []);
    }
}

#[test]
fn a_lost_pipeline_is_reported_and_its_weights_serve_the_next_epoch() {
    let mut life = ready();
    let kind = ShardFailure::PipelineLost;
    let lost = ShardEvent::Failed { key: key(3), kind, reason: "peer gone".into() };
    let actions = life.step(lost, SECOND);
    assert_eq!(actions, [ShardAction::Disconnect { key: key(3) }, ShardAction::Report]);
    assert_eq!(state(&life), ShardState::Failed { kind, reason: "peer gone".into() });
    let actions = life.step(set(4, vec![shard(4, &[(1, 4), (3, 8)])]), SECOND);
    assert!(matches!(actions[0], ShardAction::Reuse { from: Epoch(3), .. }));
}

#[test]
fn a_failed_load_keeps_nothing() {
    let mut life = lifecycle();
    life.step(set(3, vec![shard(3, &[(1, 8)])]), Duration::ZERO);
    life.step(ShardEvent::Fetched { key: key(3) }, Duration::ZERO);
    let kind = ShardFailure::OutOfMemory;
    let failed = ShardEvent::Failed { key: key(3), kind, reason: "needs more".into() };
    let actions = life.step(failed, SECOND);
    assert_eq!(actions, [ShardAction::Drop { replica: ReplicaId(5) }, ShardAction::Report]);
    let actions = life.step(set(4, vec![shard(4, &[(1, 8)])]), SECOND);
    assert!(matches!(actions[1], ShardAction::Fetch { .. }), "nothing was kept to reuse");
}

#[test]
fn a_neighbour_silent_for_ten_seconds_fails_the_shard_by_name() {
    let mut life = lifecycle();
    life.step(set(3, vec![shard(3, &[(2, 3), (1, 6), (3, 8)])]), Duration::ZERO);
    life.step(ShardEvent::Fetched { key: key(3) }, Duration::ZERO);
    life.step(ShardEvent::Loaded { key: key(3) }, Duration::ZERO);
    life.step(ShardEvent::PeerHeard { key: key(3), peer: node(2) }, 9 * SECOND);
    assert_eq!(life.step(ShardEvent::Tick, 10 * SECOND), []);
    assert_eq!(life.step(ShardEvent::Tick, 11 * SECOND).len(), 2);
    let ShardState::Failed { kind, .. } = state(&life) else { panic!("not failed") };
    assert_eq!(kind, ShardFailure::PeerUnreachable { peer: node(3) });
}

#[test]
fn a_fetch_without_progress_fails_and_one_with_progress_does_not() {
    let mut life = lifecycle();
    life.step(set(3, vec![shard(3, &[(1, 8)])]), Duration::ZERO);
    let progress = ShardEvent::FetchProgress { key: key(3), done_bytes: 7, total_bytes: 10 };
    life.step(progress, 100 * SECOND);
    assert_eq!(life.step(ShardEvent::Tick, 200 * SECOND), []);
    assert_eq!(state(&life), ShardState::Fetching { done_bytes: 7, total_bytes: 10 });
    life.step(ShardEvent::Tick, 300 * SECOND);
    let ShardState::Failed { kind, .. } = state(&life) else { panic!("not failed") };
    assert_eq!(kind, ShardFailure::WeightsMissing);
}
