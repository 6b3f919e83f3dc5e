//! Search along one fixed order of many devices, fastest memory first; any of them may be skipped.
//!
//! A bound on the work for more devices than the exact search takes: O(S c n L^2) for S stages and
//! c cells.

use std::collections::BTreeMap;

use super::{Chain, ChainStage};
use crate::problem::Problem;

/// Longest chain that is looked for.
const STAGES_MAX: usize = 16;

/// Best known seconds and way to (place of the last device used, layers covered).
type Row = BTreeMap<(usize, usize), (f64, Vec<ChainStage>)>;

pub(super) fn solve(problem: &Problem<'_>) -> Vec<Chain> {
    let places = places(problem);
    let mut chains = Vec::new();
    let mut row = Row::from([((0, 0), (0.0, Vec::new()))]);
    for _ in 0..STAGES_MAX {
        row = next_stages(problem, &places, &row);
        if row.is_empty() {
            break;
        }
        chains.extend(fastest_complete(problem, &row));
    }
    chains
}

/// `[device]` its place in the order, from 1.
fn places(problem: &Problem<'_>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..problem.devices.len()).collect();
    let bandwidth = |d: &usize| problem.devices[*d].profile.memory_bandwidth;
    order.sort_by(|a, b| bandwidth(b).total_cmp(&bandwidth(a)));
    let mut places = vec![0; order.len()];
    for (place, device) in order.into_iter().enumerate() {
        places[device] = place + 1;
    }
    places
}

fn next_stages(problem: &Problem<'_>, places: &[usize], row: &Row) -> Row {
    let mut next = Row::new();
    for ((place, covered), (seconds, stages)) in row {
        if *covered == problem.layers {
            continue;
        }
        let used = stages.iter().map(|s| problem.cells[s.cell].members.len()).sum();
        let ranks = problem.objective.degrees.after(used);
        for (index, cell) in problem.cells.iter().enumerate() {
            let at = |member: &crate::cell::Member| places[member.device];
            let (first, last) =
                (cell.members.iter().map(at).min(), cell.members.iter().map(at).max());
            let (Some(first), Some(last)) = (first, last) else { continue };
            if first <= *place || ranks.is_some_and(|ranks| ranks != cell.members.len()) {
                continue;
            }
            let way = match stages.last() {
                None => problem.announce(cell),
                Some(before) => problem.hop_to(problem.cells[before.cell].leader(), cell),
            };
            let Some(way) = way else { continue };
            for end in cell.ends(*covered) {
                let total = seconds + way + cell.seconds(*covered, end);
                let known = next.get(&(last, end)).map_or(f64::INFINITY, |(s, _)| *s);
                if total < known {
                    let stage = ChainStage { cell: index, start: *covered, end };
                    let stages = stages.iter().copied().chain([stage]).collect();
                    next.insert((last, end), (total, stages));
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
        .filter(|chain| problem.objective.degrees.complete(chain.devices(problem)))
        .min_by(|a, b| a.seconds_per_token.total_cmp(&b.seconds_per_token))
}
