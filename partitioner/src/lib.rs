//! Decides where every layer of a model runs: pure functions of measured facts.
//!
//! [`plan`] minimises the predicted time per token of one stream over all contiguous splits of the
//! layers and all orders of up to eight devices, alone or in tensor-parallel groups, under each
//! device's memory. More devices are tried in one fixed order, fastest first.
#![forbid(unsafe_code)]

mod booked;
mod candidates;
mod cell;
mod chain;
mod cluster;
mod cost;
mod error;
mod explain;
mod objective;
mod planned;
mod problem;
mod verify;

pub use booked::{Booking, booked};
pub use cluster::{Candidate, Cluster};
pub use error::PlanError;
pub use objective::{Degrees, Objective, StageCount};
pub use planned::{Alternative, Planned, Prediction};
pub use verify::verify;

use protocol::ids::Digest;
use protocol::model_spec::ModelSpec;

use crate::chain::Chain;
use crate::problem::Problem;

/// The fastest placement that fits, its prediction, and what else was looked at.
pub fn plan(
    spec: &ModelSpec,
    manifest: Digest,
    cluster: &Cluster,
    objective: &Objective,
) -> Result<Planned, PlanError> {
    objective.check(spec)?;
    let problem = Problem::new(spec, cluster, objective);
    if problem.devices.is_empty() {
        return Err(PlanError::NoDevice);
    }
    let chains = chain::by_shape(&problem);
    let count = |c: &Chain| c.stages.len() as u32;
    let nearest = match objective.stages {
        StageCount::Fastest => None,
        StageCount::Exactly(stages) => Some(stages),
        StageCount::Near(stages) => chains.iter().map(count).min_by_key(|c| c.abs_diff(stages)),
    };
    let wanted = chains.iter().filter(|chain| nearest.is_none_or(|stages| count(chain) == stages));
    let best = wanted.min_by(|a, b| a.seconds_per_token.total_cmp(&b.seconds_per_token));
    let Some(best) = best else {
        return Err(explain::why_not(&problem, &chains));
    };
    planned::complete(&problem, manifest, best, &chains)
}

#[cfg(test)]
mod tests;
