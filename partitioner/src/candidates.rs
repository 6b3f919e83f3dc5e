//! Which groups of devices are worth a look, and in what shares.

use protocol::node_profile::{DeviceKind, LinkProfile};
use protocol::plan::CollectiveKind;

use crate::cell::{Cell, PARTS, dealt};
use crate::chain::EXACT_DEVICES_MAX;
use crate::cluster::Cluster;
use crate::cost::exchange::{Exchange, Pair};
use crate::objective::{Degrees, Objective};
use crate::problem::Device;
use protocol::model_spec::ModelSpec;

/// Devices of which all groups are tried where the planner chooses; of more, only each device with
/// those that it exchanges with fastest: the search takes a step per group and state.
const ALL_GROUPS_MAX: usize = 4;
const GROUPS_MAX: usize = 16;

/// Every device alone, in their order, then the groups.
pub(crate) fn cells(
    spec: &ModelSpec,
    cluster: &Cluster,
    objective: &Objective,
    devices: &[Device<'_>],
) -> Vec<Cell> {
    let alone = |device| Cell::new(spec, objective, devices, &[(device, 1)], None);
    let mut cells: Vec<Cell> = (0..devices.len()).map(alone).collect();
    for group in groups(cluster, objective, devices) {
        let Some(exchange) = exchange(cluster, devices, &group, &objective.degrees) else {
            continue;
        };
        let mut tried: Vec<Vec<u32>> = Vec::new();
        let profile = |device: &usize| devices[*device].profile;
        let rates: Vec<f64> = group.iter().map(|d| profile(d).memory_bandwidth.max(1.0)).collect();
        let rooms: Vec<f64> =
            group.iter().map(|d| profile(d).memory_usable_bytes as f64 + 1.0).collect();
        let mut variants = objective.shares.clone();
        variants.retain(|units| units.len() == group.len());
        if objective.shares.is_empty() {
            variants = [rates, rooms].map(|weights| dealt(&weights)).to_vec();
        }
        for parts in variants {
            if !tried.contains(&parts) && parts.iter().sum::<u32>() == PARTS {
                let members: Vec<_> = group.iter().copied().zip(parts.iter().copied()).collect();
                cells.push(Cell::new(spec, objective, devices, &members, Some(exchange)));
                tried.push(parts);
            }
        }
    }
    cells
}

/// Rank 0 first: the fastest memory, of two the earlier device.
fn groups(cluster: &Cluster, objective: &Objective, devices: &[Device<'_>]) -> Vec<Vec<usize>> {
    let count = devices.len();
    let mut order: Vec<usize> = (0..count).collect();
    let rate = |d: &usize| devices[*d].profile.memory_bandwidth;
    order.sort_by(|a, b| rate(b).total_cmp(&rate(a)));
    let sizes = objective.degrees.sizes(count);
    if count > EXACT_DEVICES_MAX {
        // One order of the devices is looked at, and groups of neighbours in it.
        let windows = |size: &usize| order.windows(*size).map(<[_]>::to_vec).collect::<Vec<_>>();
        let by_hand = matches!(objective.degrees, Degrees::Each(_));
        return if by_hand { sizes.iter().flat_map(windows).collect() } else { Vec::new() };
    }
    let by_hand = matches!(objective.degrees, Degrees::Each(_));
    if by_hand || count <= ALL_GROUPS_MAX {
        let chosen = |mask: usize| order.iter().copied().filter(move |d| mask & 1 << d != 0);
        let masks = (1..1_usize << count).filter(|m| sizes.contains(&(m.count_ones() as usize)));
        return masks.map(|mask| chosen(mask).collect()).collect();
    }
    let mut found: Vec<Vec<usize>> = Vec::new();
    for &size in &sizes {
        for &seed in &order {
            let seconds = |other: &usize| {
                pair(cluster, devices, seed, *other).map_or(f64::INFINITY, |pair| pair.seconds)
            };
            let mut others: Vec<_> = order.iter().copied().filter(|d| *d != seed).collect();
            others.sort_by(|a, b| seconds(a).total_cmp(&seconds(b)));
            let near = &others[..size - 1];
            let group: Vec<_> =
                order.iter().copied().filter(|d| *d == seed || near.contains(d)).collect();
            if !found.contains(&group) && found.len() < GROUPS_MAX {
                found.push(group);
            }
        }
    }
    found
}

/// None where two cannot reach each other, where one takes no shares, or, unless asked for by
/// hand, where they were not measured.
fn exchange(
    cluster: &Cluster,
    devices: &[Device<'_>],
    group: &[usize],
    degrees: &Degrees,
) -> Option<Exchange> {
    if !group.iter().all(|device| devices[*device].takes_shares()) {
        return None;
    }
    let nccl = nccl_version(devices, group);
    let mut pairs = Vec::new();
    for (i, &a) in group.iter().enumerate() {
        for &b in &group[i + 1..] {
            let there = pair(cluster, devices, a, b)?;
            if *degrees == Degrees::Choose && !there.measured {
                return None;
            }
            let same_node = devices[a].candidate.node == devices[b].candidate.node;
            pairs.push(if nccl.is_some() { there.over_nccl(same_node) } else { there });
        }
    }
    Exchange::of(&pairs, group.len(), nccl)
}

/// The version that all ranks have, where NCCL can connect them: each on a GPU of its own.
fn nccl_version(devices: &[Device<'_>], group: &[usize]) -> Option<u32> {
    let gpus = group.iter().map(|device| devices[*device].profile.gpu.as_deref());
    let gpus: Vec<_> = gpus.collect::<Option<_>>()?;
    let distinct = |i: usize| gpus[i + 1..].iter().all(|other| other.uuid != gpus[i].uuid);
    let first = gpus.first()?.nccl?;
    let all = gpus.iter().all(|gpu| gpu.nccl == Some(first)) && (0..gpus.len()).all(distinct);
    all.then_some(first)
}

fn pair(cluster: &Cluster, devices: &[Device<'_>], a: usize, b: usize) -> Option<Pair> {
    let link = cluster.link(devices[a].candidate, devices[b].candidate);
    let back = cluster.link(devices[b].candidate, devices[a].candidate);
    let gpu = [a, b].iter().any(|device| devices[*device].profile.kind == DeviceKind::Cuda);
    let there = || if gpu { of_link(&link).through_host() } else { of_link(&link) };
    (link.reachable && back.reachable).then(there)
}

fn of_link(link: &LinkProfile) -> Pair {
    let LinkProfile { exchange, bytes_per_second, rtt_seconds, .. } = *link;
    let assumed = rtt_seconds / 2.0
        + protocol::node_profile::ExchangeProfile::BYTES as f64 / bytes_per_second.max(1.0);
    let direct = exchange.direct_seconds;
    let (seconds, kind, measured) = match (direct, exchange.quic_seconds) {
        (Some(direct), Some(quic)) if quic < direct => (quic, CollectiveKind::Quic, true),
        (Some(direct), _) => (direct, CollectiveKind::Direct, true),
        (None, Some(quic)) => (quic, CollectiveKind::Quic, true),
        (None, None) => (assumed, CollectiveKind::Direct, false),
    };
    let quic_seconds = exchange.quic_seconds;
    Pair { seconds, kind, measured, bytes_per_second, quic_seconds, direct_seconds: direct }
}
