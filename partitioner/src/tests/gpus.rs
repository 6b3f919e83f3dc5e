//! Nodes with GPUs: what a plan calls them, and how their groups exchange.

use super::*;

fn gpu(ordinal: u32, uuid: &str, nccl: Option<u32>) -> DeviceProfile {
    let facts = GpuProfile {
        ordinal,
        uuid: uuid.to_owned(),
        compute_capability: "8.6".to_owned(),
        driver: "580.95".to_owned(),
        pcie: None,
        power_limit_watts: None,
        power_watts: None,
        temperature_celsius: None,
        unified_memory: false,
        rates: RatesFrom::Measured,
        shares: true,
        nccl,
    };
    DeviceProfile {
        kind: DeviceKind::Cuda,
        name: "RTX 3090".to_owned(),
        memory_total_bytes: 300 * MIB,
        memory_usable_bytes: 300 * MIB,
        memory_bandwidth: 1e10,
        matmul_rate: 1e13,
        gpu: Some(Box::new(facts)),
    }
}

/// A node whose devices are GPUs.
fn host(id: u8, gpus: Vec<DeviceProfile>) -> Candidate {
    let mut host = node(id, 1, 1.0);
    host.profile.devices = gpus;
    host
}

fn two_ranks(spec: &ModelSpec) -> Objective {
    let (stages, degrees) = (StageCount::Exactly(1), Degrees::Each(vec![2]));
    Objective { stages, degrees, ..objective(spec) }
}

#[test]
fn a_split_over_two_gpus_of_a_node_names_each() {
    let spec = model(8, 50, 4);
    let nodes = vec![host(1, vec![gpu(0, "GPU-a", None), gpu(1, "GPU-b", None)])];
    let two =
        Objective { stages: StageCount::Exactly(2), degrees: Degrees::One, ..objective(&spec) };
    let planned = answer(&spec, &Cluster { nodes }, &two).expect("fits");
    let names: Vec<_> =
        planned.stages.iter().flat_map(|s| &s.ranks).map(|r| r.device_name.as_str()).collect();
    assert_eq!(names, ["cuda:0 RTX 3090", "cuda:1 RTX 3090"]);
    let devices: Vec<_> = planned.plan.ranks().map(|(.., rank)| rank.device).collect();
    assert_eq!(devices, [0, 1]);
}

#[test]
fn gpus_that_all_have_the_same_nccl_exchange_over_it_and_the_plan_says_so() {
    let spec = model(8, 50, 4);
    let nccl = Some(22_703);
    let here = vec![gpu(0, "GPU-a", nccl), gpu(1, "GPU-b", nccl)];
    let planned = answer(&spec, &Cluster { nodes: vec![host(1, here)] }, &two_ranks(&spec));
    let planned = planned.expect("fits");
    assert_eq!(planned.plan.stages()[0].collective, CollectiveKind::Nccl);
    let why = &planned.stages[0].collective;
    assert!(why.starts_with("NCCL 2.27.3 (not measured"), "{why}");
    // On two nodes too, and no sooner than their link is.
    let apart = vec![host(1, vec![gpu(0, "GPU-a", nccl)]), host(2, vec![gpu(0, "GPU-b", nccl)])];
    let apart = answer(&spec, &Cluster { nodes: apart }, &two_ranks(&spec)).expect("fits");
    assert_eq!(apart.plan.stages()[0].collective, CollectiveKind::Nccl);
    assert!(apart.prediction.seconds_per_token > planned.prediction.seconds_per_token);
}

#[test]
fn ranks_that_nccl_cannot_connect_exchange_through_the_host() {
    let spec = model(8, 50, 4);
    let (old, new) = (Some(22_703), Some(22_800));
    for (a, b) in [
        (gpu(0, "GPU-a", new), gpu(0, "GPU-b", None)),
        (gpu(0, "GPU-a", new), gpu(0, "GPU-b", old)),
        // Two workers of one machine share a GPU, which NCCL refuses.
        (gpu(0, "GPU-a", new), gpu(0, "GPU-a", new)),
        (gpu(0, "GPU-a", new), node(2, 300, 1e10).profile.devices.remove(0)),
    ] {
        let case = format!("{a:?} {b:?}");
        let nodes = vec![host(1, vec![a]), host(2, vec![b])];
        let planned = answer(&spec, &Cluster { nodes }, &two_ranks(&spec)).expect("fits");
        assert_eq!(planned.plan.stages()[0].collective, CollectiveKind::Direct, "{case}");
    }
}

#[test]
fn a_device_that_takes_no_shares_is_in_no_group() {
    let spec = model(8, 50, 4);
    let mut whole = gpu(1, "GPU-b", None);
    whole.gpu.as_mut().expect("a GPU").shares = false;
    let nodes = vec![host(1, vec![gpu(0, "GPU-a", None), whole])];
    let cluster = Cluster { nodes };
    let error = answer(&spec, &cluster, &two_ranks(&spec)).expect_err("no group");
    assert_eq!(error, PlanError::NoSuchShape { degrees: vec![2] });
    answer(&spec, &cluster, &objective(&spec)).expect("stages of one rank");
}
