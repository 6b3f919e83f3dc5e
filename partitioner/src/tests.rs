//! The planner against brute force, and the answers that operators rely on.

use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::host_facts::HostFacts;
use protocol::ids::{Digest, NodeId};
use protocol::model_spec::*;
use protocol::node_profile::*;
use protocol::plan::CollectiveKind;

use super::*;
use crate::chain::{Chain, ChainStage};

mod gpus;

const MIB: u64 = 1 << 20;

fn model(layers: usize, layer_mib: u64, ends_mib: u64) -> ModelSpec {
    let layer = LayerSpec {
        state: StateKind::PagedKv { window: None },
        weight_bytes: layer_mib * MIB,
        macs_per_token: layer_mib * MIB,
    };
    ModelSpec {
        hidden_size: 256,
        ffn_size: 512,
        vocab_size: 1024,
        context_length: 4096,
        attention: AttentionSpec::grouped(4, 2, 64),
        rope: RopeSpec::plain(1e4, 64),
        norm_epsilon: 1e-5,
        tied_embeddings: true,
        layers: vec![layer; layers],
        embedding_bytes: ends_mib * MIB,
        head_bytes: ends_mib * MIB,
        weight_label: "Q8_0".to_owned(),
        ..ModelSpec::plain(Architecture::Llama)
    }
}

fn node(id: u8, usable_mib: u64, bandwidth: f64) -> Candidate {
    let device = DeviceProfile {
        kind: DeviceKind::Cpu,
        name: "cpu".to_owned(),
        memory_total_bytes: usable_mib * MIB,
        memory_usable_bytes: usable_mib * MIB,
        memory_bandwidth: bandwidth,
        matmul_rate: 1e12,
        gpu: None,
    };
    let profile = NodeProfile {
        hostname: format!("host{id}"),
        os: "linux".to_owned(),
        version: "0".to_owned(),
        cpu: "cpu".to_owned(),
        cores: 2,
        devices: vec![device],
        links: BTreeMap::new(),
        host: HostFacts::default(),
    };
    Candidate { node: NodeId([id; 32]), name: format!("n{id}"), profile }
}

fn objective(spec: &ModelSpec) -> Objective {
    Objective { context_length: 256, sequences_max: 4, ..Objective::for_model(spec) }
}

fn answer(
    spec: &ModelSpec,
    cluster: &Cluster,
    objective: &Objective,
) -> Result<Planned, PlanError> {
    plan(spec, Digest::of(b"m"), cluster, objective)
}

#[test]
fn slots_of_recurrent_layers_are_planned_for_and_booked_for_every_sequence() {
    let plain = model(8, 10, 4);
    let mut spec = plain.clone();
    for layer in &mut spec.layers[..6] {
        layer.state = StateKind::Recurrent { bytes: 5 * MIB };
    }
    let cluster = Cluster { nodes: vec![node(1, 300, 1e10)] };
    let objective = objective(&spec);
    let planned = answer(&spec, &cluster, &objective).expect("fits");
    let slots = 6 * 5 * MIB * u64::from(objective.sequences_max);
    let pool = spec.kv_bytes_per_token(spec.all_layers(), objective.kv_type)
        * u64::from(planned.plan.kv().block_size)
        * u64::from(planned.plan.kv().blocks);
    let stage = &planned.stages[0];
    assert_eq!(stage.kv_bytes, slots + pool);
    let booked = booked(&planned.plan, &spec)[0].bytes;
    assert_eq!(booked, stage.weight_bytes + stage.workspace_bytes + stage.kv_bytes);
    // Twice the sequences no longer fit, which the same model with keys and values alone does.
    let more = Objective { sequences_max: 8, ..objective };
    assert!(matches!(answer(&spec, &cluster, &more), Err(PlanError::DoesNotFit { .. })));
    answer(&plain, &cluster, &more).expect("fits");
}

#[test]
fn one_node_is_chosen_when_it_fits_and_is_faster() {
    let spec = model(8, 10, 4);
    let cluster = Cluster { nodes: vec![node(1, 500, 1e10), node(2, 500, 1e10)] };
    let planned = answer(&spec, &cluster, &objective(&spec)).expect("fits");
    assert_eq!(planned.plan.stages().len(), 1);
    assert_eq!(planned.alternatives.len(), 1, "the split was looked at too");
}

#[test]
fn a_slow_node_gets_nothing_when_the_fast_ones_hold_the_model() {
    let spec = model(8, 50, 4);
    let nodes = vec![node(1, 300, 1e10), node(2, 300, 1e8), node(3, 300, 1e10)];
    let planned = answer(&spec, &Cluster { nodes }, &objective(&spec)).expect("fits");
    let names: Vec<_> = planned.stages.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["n1", "n3"]);
}

#[test]
fn a_model_too_big_says_how_much_is_missing() {
    let spec = model(8, 100, 10);
    let cluster = Cluster { nodes: vec![node(1, 300, 1e10)] };
    let error = answer(&spec, &cluster, &objective(&spec)).expect_err("810 MiB in 300");
    let PlanError::DoesNotFit { missing_bytes, needed_bytes, usable_bytes, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(missing_bytes, needed_bytes - usable_bytes);
    assert!(missing_bytes > 510 * MIB && missing_bytes < 550 * MIB, "{missing_bytes}");
}

#[test]
fn the_tied_embedding_counts_on_both_ends() {
    let spec = model(2, 10, 100);
    let nodes = vec![node(1, 115, 1e10), node(2, 115, 1e10)];
    let planned = answer(&spec, &Cluster { nodes }, &objective(&spec)).expect("110 MiB on each");
    assert!(planned.stages.iter().all(|s| s.weight_bytes == 110 * MIB));
}

#[test]
fn stages_by_hand_are_kept_or_refused_by_name() {
    let spec = model(8, 10, 4);
    let cluster = Cluster { nodes: vec![node(1, 500, 1e10), node(2, 500, 1e10)] };
    let by_hand = |stages| Objective { stages: StageCount::Exactly(stages), ..objective(&spec) };
    let planned = answer(&spec, &cluster, &by_hand(2)).expect("two nodes");
    assert_eq!(planned.plan.stages().len(), 2);
    let error = answer(&spec, &cluster, &by_hand(3)).expect_err("two nodes");
    assert_eq!(error, PlanError::TooFewDevices { asked: 3, usable: 2 });
}

/// Nodes of equal bandwidth between which an exchange takes as long, over QUIC twice as long.
fn exchanging(count: u8, mib: u64, bandwidth: f64, seconds: f64) -> Cluster {
    let mut nodes: Vec<_> = (1..=count).map(|id| node(id, mib, bandwidth)).collect();
    for (from, node) in (1..).zip(&mut nodes) {
        for to in (1..=count).filter(|to| *to != from) {
            let exchange = ExchangeProfile {
                direct_seconds: Some(seconds),
                quic_seconds: Some(2.0 * seconds),
            };
            let link = LinkProfile { exchange, ..LinkProfile::new(2.0 * seconds, 1e10) };
            node.profile.links.insert(NodeId([to; 32]), link);
        }
    }
    Cluster { nodes }
}

fn ranks(planned: &Planned) -> Vec<usize> {
    planned.plan.stages().iter().map(|stage| stage.ranks.len()).collect()
}

#[test]
fn a_group_is_chosen_where_its_exchanges_cost_less_than_it_saves() {
    let spec = model(8, 50, 4);
    // A layer takes t1 = 52.4 MB / 10 GB/s = 5.2 ms: two ranks save half of it for two exchanges.
    let saved = 50.0 * MIB as f64 / 1e10 / 4.0;
    for (seconds, expected) in [(0.7 * saved, vec![2]), (1.3 * saved, vec![1])] {
        let cluster = exchanging(2, 500, 1e10, seconds);
        let planned = answer(&spec, &cluster, &objective(&spec)).expect("fits");
        assert_eq!(ranks(&planned), expected, "{seconds} s per exchange");
        assert!(verify(&planned.plan, &spec, &cluster).is_empty());
    }
    let cluster = exchanging(2, 500, 1e10, 0.1 * saved);
    let planned = answer(&spec, &cluster, &objective(&spec)).expect("fits");
    assert!(planned.stages[0].collective.starts_with("direct sockets"), "{planned:?}");
    assert!(planned.alternatives.iter().any(|a| a.description.starts_with("1 stage: n1 ")));
    let mut unmeasured = cluster;
    unmeasured.nodes.iter_mut().for_each(|node| node.profile.links.clear());
    let planned = answer(&spec, &unmeasured, &objective(&spec)).expect("fits");
    assert_eq!(ranks(&planned), [1], "nobody knows what an exchange costs");
}

#[test]
fn shares_follow_the_bandwidth_and_memory_is_counted_by_rank() {
    let spec = ModelSpec {
        attention: AttentionSpec::grouped(32, 16, 64),
        ffn_size: 4096,
        ..model(8, 50, 4)
    };
    let mut cluster = exchanging(2, 500, 1e10, 1e-5);
    cluster.nodes[1].profile.devices[0].memory_bandwidth = 3e10;
    let planned = answer(&spec, &cluster, &objective(&spec)).expect("fits");
    let units = planned.stages[0].ranks.iter().map(|rank| (rank.name.as_str(), rank.share.units));
    let units: Vec<_> = units.collect();
    assert_eq!(units, [("n2", 48), ("n1", 16)]);
    let [fast, slow] = &planned.stages[0].ranks[..] else { panic!("two ranks") };
    assert_eq!(fast.kv_bytes, 3 * slow.kv_bytes);
    let layers = |rank: &protocol::admin::PlannedRank| rank.weight_bytes - 4 * MIB;
    assert!(layers(fast).abs_diff(3 * layers(slow)) < 4 * MIB, "{fast:?} {slow:?}");
    let taken = booked(&planned.plan, &spec);
    for (rank, booking) in planned.stages[0].ranks.iter().zip(taken) {
        let bytes = rank.weight_bytes + rank.kv_bytes + rank.workspace_bytes;
        assert_eq!((booking.node, booking.bytes), (rank.node, bytes));
    }
}

#[test]
fn degrees_by_hand_are_kept_or_refused_by_name() {
    let spec = model(8, 10, 4);
    let cluster = exchanging(4, 500, 1e10, 1e-2);
    let by_hand = |degrees: &[u32]| Objective {
        stages: StageCount::Exactly(degrees.len() as u32),
        degrees: Degrees::Each(degrees.to_vec()),
        ..objective(&spec)
    };
    for degrees in [&[2][..], &[3], &[4], &[2, 2], &[3, 1], &[1, 1, 2]] {
        let planned = answer(&spec, &cluster, &by_hand(degrees)).expect("four nodes");
        let expected: Vec<_> = degrees.iter().map(|degree| *degree as usize).collect();
        assert_eq!(ranks(&planned), expected);
        assert!(verify(&planned.plan, &spec, &cluster).is_empty());
    }
    let error = answer(&spec, &cluster, &by_hand(&[3, 2])).expect_err("four nodes");
    assert_eq!(error, PlanError::TooFewForRanks { asked: 5, usable: 4 });
    let stages = Objective { stages: StageCount::Exactly(3), ..by_hand(&[2, 2]) };
    let error = answer(&spec, &cluster, &stages).expect_err("two numbers for three stages");
    assert_eq!(error, PlanError::Degrees { stages: 3, degrees: 2 });
}

#[test]
fn a_plan_in_the_shape_of_another_keeps_its_shares_on_other_devices() {
    let spec = model(8, 50, 4);
    let mut cluster = exchanging(3, 500, 1e10, 1e-5);
    cluster.nodes[1].profile.devices[0].memory_bandwidth = 3e10;
    let two = |nodes: &[usize]| Cluster {
        nodes: nodes.iter().map(|index| cluster.nodes[*index].clone()).collect(),
    };
    let before = answer(&spec, &two(&[0, 1]), &objective(&spec)).expect("fits");
    let usual = answer(&spec, &two(&[0, 2]), &objective(&spec)).expect("fits");
    assert_ne!(usual.plan.sharing(), before.plan.sharing());
    let kept = objective(&spec).in_shape_of(&before.plan);
    let kept = answer(&spec, &two(&[0, 2]), &kept).expect("fits");
    assert_eq!(kept.plan.sharing(), before.plan.sharing());
}

#[test]
fn a_wish_for_stages_gets_the_nearest_count_there_is() {
    let spec = model(8, 50, 4);
    let near = |stages| Objective { stages: StageCount::Near(stages), ..objective(&spec) };
    let nodes =
        |count: u8, mib| Cluster { nodes: (1..=count).map(|i| node(i, mib, 1e10)).collect() };
    for (devices, mib, asked, got) in
        [(3, 500, 3, 3), (2, 500, 3, 2), (1, 500, 3, 1), (3, 250, 1, 2)]
    {
        let planned = answer(&spec, &nodes(devices, mib), &near(asked)).expect("some count fits");
        assert_eq!(planned.plan.stages().len(), got, "{asked} asked of {devices} devices");
    }
    let error = answer(&spec, &nodes(1, 100), &near(3)).expect_err("430 MiB in 100");
    assert!(matches!(error, PlanError::DoesNotFit { .. }), "{error}");
}

#[test]
fn a_link_that_is_down_is_no_edge_of_a_plan() {
    let spec = model(8, 50, 4);
    let mut nodes = vec![node(1, 250, 1e10), node(2, 250, 1e10), node(3, 250, 1e9)];
    let down = LinkProfile::DOWN;
    nodes[0].profile.links.insert(NodeId([2; 32]), down);
    let cluster = Cluster { nodes };
    let planned = answer(&spec, &cluster, &objective(&spec)).expect("over n3");
    assert!(verify(&planned.plan, &spec, &cluster).is_empty());
}

#[test]
fn ten_devices_are_planned_in_one_order() {
    let spec = model(20, 50, 4);
    let nodes = (1..=10).map(|i| node(i, 200, f64::from(i) * 1e9)).collect();
    let cluster = Cluster { nodes };
    let planned = answer(&spec, &cluster, &objective(&spec)).expect("2000 MiB");
    assert!(verify(&planned.plan, &spec, &cluster).is_empty());
}

/// All orders, all splits.
fn brute_force(problem: &Problem<'_>, stages: &[ChainStage], covered: usize) -> Option<Chain> {
    if covered == problem.layers {
        return Chain::price(problem, stages.to_vec());
    }
    let mut best: Option<Chain> = None;
    for (index, cell) in problem.cells.iter().enumerate() {
        if stages.iter().any(|s| problem.cells[s.cell].mask() & cell.mask() != 0) {
            continue;
        }
        for end in cell.ends(covered) {
            let mut longer = stages.to_vec();
            longer.push(ChainStage { cell: index, start: covered, end });
            let found = brute_force(problem, &longer, end);
            let better = |b: &Chain, f: &Chain| f.seconds_per_token < b.seconds_per_token;
            if let Some(found) = found
                && best.as_ref().is_none_or(|b| better(b, &found))
            {
                best = Some(found);
            }
        }
    }
    best
}

prop_compose! {
    fn any_cluster()(
        nodes in proptest::collection::vec((40_u64..400, 1e8_f64..1e10), 1..5),
        links in proptest::collection::vec((1e-5_f64..1e-2, prop::bool::weighted(0.9)), 25),
    ) -> Cluster {
        let mut made: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(i, (mib, bandwidth))| node(i as u8 + 1, *mib, *bandwidth))
            .collect();
        for from in 0..made.len() {
            for to in 0..made.len() {
                let (rtt_seconds, reachable) = links[from * 5 + to];
                let exchange = ExchangeProfile {
                    direct_seconds: Some(rtt_seconds / 2.0),
                    quic_seconds: Some(rtt_seconds),
                };
                let link =
                    LinkProfile { reachable, exchange, ..LinkProfile::new(rtt_seconds, 1e8) };
                made[from].profile.links.insert(NodeId([to as u8 + 1; 32]), link);
            }
        }
        Cluster { nodes: made }
    }
}

proptest! {
    #[test]
    fn no_order_and_no_split_is_faster(cluster in any_cluster(), layers in 1_usize..7) {
        let spec = model(layers, 40, 10);
        let objective = objective(&spec);
        let problem = Problem::new(&spec, &cluster, &objective);
        let best = brute_force(&problem, &[], 0);
        match answer(&spec, &cluster, &objective) {
            Ok(planned) => {
                let best = best.expect("brute force finds what the planner found");
                let ours = planned.prediction.seconds_per_token;
                prop_assert!((ours / best.seconds_per_token - 1.0).abs() < 1e-9);
                prop_assert_eq!(verify(&planned.plan, &spec, &cluster), Vec::<String>::new());
            }
            Err(error) => prop_assert!(best.is_none(), "{}", error),
        }
    }
}

#[test]
fn layers_that_read_anothers_keys_stay_with_it() {
    let mut spec = model(8, 64, 8);
    for layer in [6, 7] {
        let source = protocol::ids::LayerIndex(3);
        spec.layers[layer].state = StateKind::KvOf { layer: source, window: None };
    }
    let cluster = Cluster { nodes: (1..4).map(|id| node(id, 420, 1e10)).collect() };
    let planned = answer(&spec, &cluster, &objective(&spec)).expect("two hold it");
    let starts: Vec<_> = planned.plan.stages().iter().map(|stage| stage.layers.start.0).collect();
    assert!(starts.len() > 1 && starts.iter().all(|start| *start <= 3), "{starts:?}");
    assert!(verify(&planned.plan, &spec, &cluster).is_empty());
}
