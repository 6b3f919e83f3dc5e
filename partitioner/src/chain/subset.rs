//! Exact search over all subsets and orders of the devices, by dynamic programming.
//!
//! State: leader of the first stage, set of devices used, leader of the last stage, layers covered.
//! The first leader is part of the state because the token ids return to it. O(2^n n^2 c L^2) for n
//! devices in c cells and L layers.

use super::{Chain, ChainStage};
use crate::cell::Cell;
use crate::problem::Problem;

#[derive(Clone, Copy)]
struct State {
    seconds: f64,
    /// Cell of the last stage; leader and layers covered before it.
    cell: u16,
    from: (u8, u16),
}

const OPEN: State = State { seconds: f64::INFINITY, cell: u16::MAX, from: (u8::MAX, 0) };
/// Before the first stage.
const NOBODY: u8 = u8::MAX;

pub(super) fn solve(problem: &Problem<'_>) -> Vec<Chain> {
    let devices = problem.devices.len();
    let mut best: Vec<Option<Chain>> = vec![None; (devices + 1) * (devices + 1)];
    for first in 0..devices {
        let table = Table::fill(problem, first);
        for mask in 1..1_usize << devices {
            if !problem.objective.degrees.complete(mask.count_ones() as usize) {
                continue;
            }
            for last in 0..devices {
                let Some(chain) = table.chain(problem, mask, last) else { continue };
                let shape = chain.stages.len() * (devices + 1) + mask.count_ones() as usize;
                let known = best[shape].as_ref().map_or(f64::INFINITY, |c| c.seconds_per_token);
                if chain.seconds_per_token < known {
                    best[shape] = Some(chain);
                }
            }
        }
    }
    best.into_iter().flatten().collect()
}

/// All chains that begin on one leader: `[mask][last leader][covered]`.
struct Table {
    devices: usize,
    width: usize,
    states: Vec<State>,
}

impl Table {
    fn fill(problem: &Problem<'_>, first: usize) -> Self {
        let devices = problem.devices.len();
        let width = problem.layers + 1;
        let states = vec![OPEN; (1 << devices) * devices * width];
        let mut table = Self { devices, width, states };
        for (index, cell) in fitting(problem, 0).filter(|(_, cell)| cell.leader() == first) {
            let Some(announce) = problem.announce(cell) else { continue };
            table.reach(cell.mask(), index, cell, (NOBODY, 0), announce);
        }
        for mask in 1..1_usize << devices {
            for last in (0..devices).filter(|d| mask & (1 << d) != 0) {
                for covered in 1..problem.layers {
                    table.extend(problem, mask, last, covered);
                }
            }
        }
        table
    }

    /// Tries every cell of unused devices, with every end that fits it, as the next stage.
    fn extend(&mut self, problem: &Problem<'_>, mask: usize, last: usize, covered: usize) {
        let seconds = self.states[self.at(mask, last, covered)].seconds;
        if seconds.is_infinite() {
            return;
        }
        for (index, cell) in fitting(problem, mask) {
            let Some(hop) = problem.hop_to(last, cell) else { continue };
            let from = (last as u8, covered as u16);
            self.reach(mask | cell.mask(), index, cell, from, seconds + hop);
        }
    }

    /// Notes the ends of a next stage on `cell` that are faster than those known.
    fn reach(&mut self, mask: usize, index: usize, cell: &Cell, from: (u8, u16), before: f64) {
        for end in cell.ends(from.1 as usize) {
            let seconds = before + cell.seconds(from.1 as usize, end);
            let at = self.at(mask, cell.leader(), end);
            if seconds < self.states[at].seconds {
                self.states[at] = State { seconds, cell: index as u16, from };
            }
        }
    }

    /// The finished chain that uses exactly `mask` and ends on the leader `last`.
    fn chain(&self, problem: &Problem<'_>, mask: usize, last: usize) -> Option<Chain> {
        let mut stages = Vec::new();
        let (mut mask, mut last, mut end) = (mask, last, self.width - 1);
        loop {
            let State { seconds, cell, from: (before, start) } =
                self.states[self.at(mask, last, end)];
            if seconds.is_infinite() {
                return None;
            }
            let start = start as usize;
            stages.push(ChainStage { cell: cell as usize, start, end });
            if before == NOBODY {
                break;
            }
            mask &= !problem.cells[cell as usize].mask();
            (last, end) = (before as usize, start);
        }
        stages.reverse();
        Chain::price(problem, stages)
    }

    fn at(&self, mask: usize, last: usize, covered: usize) -> usize {
        (mask * self.devices + last) * self.width + covered
    }
}

/// The cells that may hold the stage behind the devices of `mask`.
fn fitting<'a>(problem: &'a Problem<'_>, mask: usize) -> impl Iterator<Item = (usize, &'a Cell)> {
    let ranks = problem.objective.degrees.after(mask.count_ones() as usize);
    let cells = problem.cells.iter().enumerate();
    cells.filter(move |(_, cell)| {
        cell.mask() & mask == 0 && ranks.is_none_or(|ranks| cell.members.len() == ranks)
    })
}
