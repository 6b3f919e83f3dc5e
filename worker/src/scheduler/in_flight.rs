//! Batches that were dispatched and have not come back, oldest first.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::ids::{SequenceId, StepId};
use protocol::step_batch::{SampledToken, StepResult};

use super::event::StreamKey;

#[derive(Debug, Default)]
pub(super) struct InFlight {
    steps: VecDeque<Step>,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) id: StepId,
    pub(super) dispatched_at: Duration,
    pub(super) tokens: u32,
    /// In the order of the batch.
    pub(super) rows: Vec<StepRow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepRow {
    pub(super) key: StreamKey,
    pub(super) run: SequenceId,
    pub(super) sampled: bool,
}

impl InFlight {
    pub(super) fn push(&mut self, step: Step) {
        self.steps.push_back(step);
    }

    pub(super) fn len(&self) -> u32 {
        self.steps.len() as u32
    }

    pub(super) fn oldest(&self) -> Option<&Step> {
        self.steps.front()
    }

    pub(super) fn clear(&mut self) {
        self.steps.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter()
    }

    /// Takes the oldest step if `result` answers it, sample for sample; says what is wrong if not.
    pub(super) fn complete(
        &mut self,
        result: &StepResult,
        vocab_size: u32,
    ) -> Result<Step, String> {
        let Some(step) = self.steps.front() else {
            return Err(format!("result of step {} came while none is in flight", result.step));
        };
        if result.step != step.id {
            return Err(format!("result of step {} came before that of {}", result.step, step.id));
        }
        check_samples(step, &result.samples, vocab_size)?;
        self.steps.pop_front().ok_or_else(|| "no step in flight".to_owned())
    }
}

fn check_samples(step: &Step, samples: &[SampledToken], vocab_size: u32) -> Result<(), String> {
    let expected = step.rows.iter().filter(|row| row.sampled).map(|row| row.run);
    if !expected.eq(samples.iter().map(|sample| sample.sequence)) {
        let (id, found) = (step.id, samples.len());
        return Err(format!("step {id} came back with {found} samples of other sequences"));
    }
    match samples.iter().find(|sample| sample.token.0 >= vocab_size) {
        Some(bad) => Err(format!("step {} sampled token {} of {vocab_size}", step.id, bad.token)),
        None => Ok(()),
    }
}
