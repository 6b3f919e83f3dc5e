//! Exact search over all subsets and orders of the devices, by dynamic programming.
//!
//! State: first device, set of devices used, last device, layers covered. The first device is part
//! of the state because the token ids return to it. O(2^n n^3 L^2) for n devices and L layers.

use super::{Chain, ChainStage};
use crate::problem::Problem;

#[derive(Clone, Copy)]
struct Cell {
    seconds: f64,
    /// Last device and layers covered before the last stage.
    from: (u8, u16),
}

const OPEN: Cell = Cell { seconds: f64::INFINITY, from: (u8::MAX, 0) };

pub(super) fn solve(problem: &Problem<'_>) -> Vec<Chain> {
    let devices = problem.devices.len();
    let mut best: Vec<Option<Chain>> = vec![None; devices + 1];
    for first in 0..devices {
        let table = Table::fill(problem, first);
        for mask in 1..1_usize << devices {
            for last in 0..devices {
                let Some(chain) = table.chain(problem, mask, last) else { continue };
                let slot = &mut best[chain.stages.len()];
                let known = slot.as_ref().map_or(f64::INFINITY, |c| c.seconds_per_token);
                if chain.seconds_per_token < known {
                    *slot = Some(chain);
                }
            }
        }
    }
    best.into_iter().flatten().collect()
}

/// All chains that begin on one device: `[mask][last][covered]`.
struct Table {
    first: usize,
    devices: usize,
    width: usize,
    cells: Vec<Cell>,
}

impl Table {
    fn fill(problem: &Problem<'_>, first: usize) -> Self {
        let devices = problem.devices.len();
        let width = problem.layers + 1;
        let cells = vec![OPEN; (1 << devices) * devices * width];
        let mut table = Self { first, devices, width, cells };
        let device = &problem.devices[first];
        for end in device.ends(0) {
            let at = table.at(1 << first, first, end);
            table.cells[at] = Cell { seconds: device.seconds(0, end), from: (u8::MAX, 0) };
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

    /// Tries every further device, with every end that fits it, as the next stage.
    fn extend(&mut self, problem: &Problem<'_>, mask: usize, last: usize, covered: usize) {
        let seconds = self.cells[self.at(mask, last, covered)].seconds;
        if seconds.is_infinite() {
            return;
        }
        for next in (0..self.devices).filter(|d| mask & (1 << d) == 0) {
            let Some(hop) = problem.hop[last][next] else { continue };
            let device = &problem.devices[next];
            for end in device.ends(covered) {
                let total = seconds + hop + device.seconds(covered, end);
                let at = self.at(mask | 1 << next, next, end);
                if total < self.cells[at].seconds {
                    self.cells[at] = Cell { seconds: total, from: (last as u8, covered as u16) };
                }
            }
        }
    }

    /// The finished chain that uses exactly `mask` and ends on `last`.
    fn chain(&self, problem: &Problem<'_>, mask: usize, last: usize) -> Option<Chain> {
        let mut stages = Vec::new();
        let (mut mask, mut last, mut end) = (mask, last, self.width - 1);
        loop {
            let cell = self.cells[self.at(mask, last, end)];
            if cell.seconds.is_infinite() {
                return None;
            }
            let (before, start) = (cell.from.0 as usize, cell.from.1 as usize);
            stages.push(ChainStage { device: last, start, end });
            if last == self.first {
                break;
            }
            (mask, last, end) = (mask & !(1 << last), before, start);
        }
        stages.reverse();
        Chain::price(problem, stages)
    }

    fn at(&self, mask: usize, last: usize, covered: usize) -> usize {
        (mask * self.devices + last) * self.width + covered
    }
}
