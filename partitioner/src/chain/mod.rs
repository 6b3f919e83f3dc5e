//! Contiguous splits of the layers over a chain of devices.

mod ordered;
mod subset;

use crate::problem::Problem;

/// Devices that can be tried in every order: the search takes 2^n steps.
const EXACT_DEVICES_MAX: usize = 8;

/// A split with its predicted time per token of one stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chain {
    pub stages: Vec<ChainStage>,
    pub seconds_per_token: f64,
}

/// Layers `start..end` on the device of this index in `Problem::devices`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainStage {
    pub device: usize,
    pub start: usize,
    pub end: usize,
}

/// The fastest chain of each stage count that has one, fewest stages first.
pub(crate) fn by_stage_count(problem: &Problem<'_>) -> Vec<Chain> {
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
        for stage in &stages {
            seconds += problem.devices[stage.device].seconds(stage.start, stage.end);
        }
        for pair in stages.windows(2) {
            seconds += problem.hop[pair[0].device][pair[1].device]?;
        }
        let (first, last) = (stages.first()?, stages.last()?);
        if stages.len() > 1 {
            seconds += problem.back[last.device][first.device]?;
        }
        Some(Self { stages, seconds_per_token: seconds })
    }
}
