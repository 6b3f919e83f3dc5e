//! What a finished step means: tokens to emit, sequences that are over, time learned.

use protocol::generate::{EmittedToken, FinishReason};
use protocol::step_batch::{SampledToken, StepResult};

use super::in_flight::StepRow;
use super::stop_condition::{Verdict, judge};
use super::{Action, Phase, Scheduler};

impl Scheduler {
    pub(super) fn step_done(&mut self, result: &StepResult, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Lost { .. } | Phase::Stopped) {
            return;
        }
        let step = match self.in_flight.complete(result, self.config.vocab_size) {
            Ok(step) => step,
            Err(reason) => return self.abandon(reason, actions),
        };
        self.step_time.observe(step.tokens, &result.stage_micros, self.config.step_target);
        let mut samples = result.samples.iter();
        for row in &step.rows {
            let sample = if row.sampled { samples.next() } else { None };
            self.row_done(row, sample, actions);
        }
    }

    fn row_done(
        &mut self,
        row: &StepRow,
        sample: Option<&SampledToken>,
        actions: &mut Vec<Action>,
    ) {
        // A cancelled sequence is gone. One that was preempted takes the token all the same, and
        // cannot have begun its next run: that waits until nothing of this one is in flight.
        let Some(sequence) = self.sequences.get_mut(&row.key) else {
            return;
        };
        sequence.steps_in_flight -= 1;
        let Some(sample) = sample else {
            return;
        };
        sequence.sample_in_flight = false;
        let verdict = judge(sequence, sample.token, self.config.sequence_tokens_max());
        if let Verdict::Finish(reason) = verdict {
            return self.finish(row.key, reason, actions);
        }
        sequence.emitted.push(sample.token);
        let token = EmittedToken { token: sample.token, logprobs: sample.logprobs.clone() };
        actions.push(Action::Emit { key: row.key, token });
        if verdict == Verdict::EmitAndFinish(FinishReason::Length) {
            self.finish(row.key, FinishReason::Length, actions);
        }
    }
}
