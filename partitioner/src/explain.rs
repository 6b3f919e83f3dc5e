//! Says why a plan is not possible, and what the other placements would give.

use crate::chain::Chain;
use crate::cost::memory::StageBytes;
use crate::error::PlanError;
use crate::objective::{Degrees, StageCount};
use crate::planned::{Alternative, layers};
use crate::problem::Problem;
use protocol::plan::Share;

pub(crate) fn alternatives(
    problem: &Problem<'_>,
    chosen: &Chain,
    chains: &[Chain],
) -> Vec<Alternative> {
    let mut found: Vec<_> = chains
        .iter()
        .filter(|c| *c != chosen)
        .map(|c| Alternative {
            description: describe(problem, c),
            seconds_per_token: c.seconds_per_token,
        })
        .collect();
    found.sort_by(|a, b| a.seconds_per_token.total_cmp(&b.seconds_per_token));
    found
}

/// E.g. `2 stages: a1 L0-5, b2+c3 L6-7`.
fn describe(problem: &Problem<'_>, chain: &Chain) -> String {
    let stage = |s: &crate::chain::ChainStage| {
        let members = problem.cells[s.cell].members.iter();
        let names: Vec<_> = members.map(|m| problem.devices[m.device].label()).collect();
        format!("{} {}", names.join("+"), layers(s))
    };
    let places: Vec<String> = chain.stages.iter().map(stage).collect();
    let plural = if places.len() == 1 { "" } else { "s" };
    format!("{} stage{plural}: {}", places.len(), places.join(", "))
}

pub(crate) fn why_not(problem: &Problem<'_>, chains: &[Chain]) -> PlanError {
    let holds =
        |cell: &&crate::cell::Cell| (0..problem.layers).any(|l| cell.ends(l).next().is_some());
    if let Degrees::Each(degrees) = &problem.objective.degrees {
        let (asked, usable) = (degrees.iter().sum(), problem.devices.len() as u32);
        if usable < asked {
            return PlanError::TooFewForRanks { asked, usable };
        }
        if degrees.iter().any(|degree| *degree > 1) {
            return PlanError::NoSuchShape { degrees: degrees.clone() };
        }
    }
    let alone = &problem.cells[..problem.devices.len()];
    let count = alone.iter().filter(holds).count() as u32;
    if let StageCount::Exactly(asked) = problem.objective.stages {
        if count < asked {
            return PlanError::TooFewDevices { asked, usable: count };
        }
        if let Some(fewest) = chains.first() {
            return too_few_stages(problem, asked, fewest);
        }
    }
    let covered = furthest(problem);
    if covered == problem.layers {
        return PlanError::NoRoute;
    }
    let all =
        StageBytes::of(problem.spec, Share::WHOLE, problem.spec.all_layers(), problem.objective);
    let rest = layers(&crate::chain::ChainStage { cell: 0, start: covered, end: problem.layers });
    let rest = StageBytes::of(problem.spec, Share::WHOLE, rest, problem.objective);
    let usable_bytes: u64 = problem.devices.iter().map(|d| d.profile.memory_usable_bytes).sum();
    PlanError::DoesNotFit {
        missing_bytes: missing(rest.least(problem.objective), problem, usable_bytes),
        needed_bytes: all.least(problem.objective),
        usable_bytes,
        devices: problem.devices.len() as u32,
    }
}

/// More stages would do; on the largest devices, so many as were asked for, this much is missing.
fn too_few_stages(problem: &Problem<'_>, asked: u32, fewest: &Chain) -> PlanError {
    let mut usable: Vec<_> =
        problem.devices.iter().map(|d| d.profile.memory_usable_bytes).collect();
    usable.sort_unstable_by(|a, b| b.cmp(a));
    let largest: u64 = usable.iter().take(asked as usize).sum();
    let all =
        StageBytes::of(problem.spec, Share::WHOLE, problem.spec.all_layers(), problem.objective);
    let needed_bytes = all.least(problem.objective);
    let missing_bytes = needed_bytes.saturating_sub(largest).max(1);
    let fits = fewest.stages.len() as u32;
    PlanError::TooFewStages { asked, fits, missing_bytes, needed_bytes }
}

/// What the uncovered layers need, less the memory that no stage could use at all.
fn missing(rest: u64, problem: &Problem<'_>, usable: u64) -> u64 {
    let idle = if problem.devices.len() == 1 { usable } else { 0 };
    let all =
        StageBytes::of(problem.spec, Share::WHOLE, problem.spec.all_layers(), problem.objective);
    let least = all.least(problem.objective);
    if idle > 0 { least.saturating_sub(idle).max(1) } else { rest }
}

/// Layers that some order of the devices can hold, links aside: `[mask]` furthest end.
fn furthest(problem: &Problem<'_>) -> usize {
    let devices = problem.devices.len().min(16);
    let mut reach = vec![0; 1 << devices];
    for mask in 0..reach.len() {
        for next in (0..devices).filter(|d| mask & (1 << d) == 0) {
            let start = reach[mask];
            if start < problem.layers {
                let end = problem.cells[next].ends(start).last().unwrap_or(start);
                let slot = &mut reach[mask | 1 << next];
                *slot = end.max(*slot);
            } else {
                return start;
            }
        }
    }
    reach.into_iter().max().unwrap_or(0)
}
