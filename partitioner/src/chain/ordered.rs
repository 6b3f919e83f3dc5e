//! Search along one fixed order of many devices, fastest memory first; any of them may be skipped.
//!
//! A bound on the work for more devices than the exact search takes: O(S n^2 L^2) for S stages.

use std::collections::BTreeMap;

use super::{Chain, ChainStage};
use crate::problem::Problem;

/// Longest chain that is looked for.
const STAGES_MAX: usize = 16;

/// Best known seconds and way to (last device, layers covered).
type Row = BTreeMap<(usize, usize), (f64, Vec<ChainStage>)>;

pub(super) fn solve(problem: &Problem<'_>) -> Vec<Chain> {
    let mut order: Vec<usize> = (0..problem.devices.len()).collect();
    let bandwidth = |d: &usize| problem.devices[*d].profile.memory_bandwidth;
    order.sort_by(|a, b| bandwidth(b).total_cmp(&bandwidth(a)));
    let mut chains = Vec::new();
    let mut row = first_stages(problem, &order);
    for _ in 0..STAGES_MAX {
        chains.extend(fastest_complete(problem, &row));
        row = next_stages(problem, &order, &row);
        if row.is_empty() {
            break;
        }
    }
    chains
}

fn first_stages(problem: &Problem<'_>, order: &[usize]) -> Row {
    let mut row = Row::new();
    for (place, &device) in order.iter().enumerate() {
        for end in problem.devices[device].ends(0) {
            let seconds = problem.devices[device].seconds(0, end);
            row.insert((place, end), (seconds, vec![ChainStage { device, start: 0, end }]));
        }
    }
    row
}

fn next_stages(problem: &Problem<'_>, order: &[usize], row: &Row) -> Row {
    let mut next = Row::new();
    for ((place, covered), (seconds, stages)) in row {
        if *covered == problem.layers {
            continue;
        }
        for (later, &device) in order.iter().enumerate().skip(place + 1) {
            let Some(hop) = problem.hop[order[*place]][device] else { continue };
            for end in problem.devices[device].ends(*covered) {
                let total = seconds + hop + problem.devices[device].seconds(*covered, end);
                let known = next.get(&(later, end)).map_or(f64::INFINITY, |(s, _)| *s);
                if total < known {
                    let stage = ChainStage { device, start: *covered, end };
                    let stages = stages.iter().copied().chain([stage]).collect();
                    next.insert((later, end), (total, stages));
                }
            }
        }
    }
    next
}

fn fastest_complete(problem: &Problem<'_>, row: &Row) -> Option<Chain> {
    row.iter()
        .filter(|((_, covered), _)| *covered == problem.layers)
        .filter_map(|(_, (_, stages))| Chain::price(problem, stages.clone()))
        .min_by(|a, b| a.seconds_per_token.total_cmp(&b.seconds_per_token))
}
