//! Contiguous splits of the layers over a chain of devices and groups of them.

mod ordered;
mod subset;

use crate::problem::Problem;

/// Devices that can be tried in every order: the search takes 2^n steps.
pub(crate) const EXACT_DEVICES_MAX: usize = 8;

/// A split with its predicted time per token of one stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chain {
    pub stages: Vec<ChainStage>,
    pub seconds_per_token: f64,
}

/// Layers `start..end` on the cell of this index in `Problem::cells`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainStage {
    pub cell: usize,
    pub start: usize,
    pub end: usize,
}

/// The fastest chain of each number of stages and devices that has one, fewest stages first.
pub(crate) fn by_shape(problem: &Problem<'_>) -> Vec<Chain> {
    if problem.devices.len() <= EXACT_DEVICES_MAX {
        subset::solve(problem)
    } else {
        ordered::solve(problem)
    }
}

impl Chain {
    /// Adds up what the stages and hops of `stages` cost; none where a link is down.
    pub(crate) fn price(problem: &Problem<'_>, stages: Vec<ChainStage>) -> Option<Self> {
        let mut seconds = 0.0;
        let cell = |stage: &ChainStage| &problem.cells[stage.cell];
        for stage in &stages {
            seconds += cell(stage).seconds(stage.start, stage.end);
        }
        for pair in stages.windows(2) {
            seconds += problem.hop_to(cell(&pair[0]).leader(), cell(&pair[1]))?;
        }
        let (first, last) = (cell(stages.first()?), cell(stages.last()?));
        if stages.len() > 1 {
            seconds += problem.back[last.leader()][first.leader()]?;
        }
        seconds += problem.announce(first)?;
        Some(Self { stages, seconds_per_token: seconds })
    }

    /// Devices that it uses.
    pub(crate) fn devices(&self, problem: &Problem<'_>) -> usize {
        self.stages.iter().map(|stage| problem.cells[stage.cell].members.len()).sum()
    }
}
