//! How long steps take, and so how many tokens the next one may have.

use std::time::Duration;

/// Size classes are powers of two; a step of up to 2^31 tokens has one.
const CLASSES: usize = 32;
/// Tokens of the first step, when nothing is known of the machines, and of the smallest: below it
/// a step only pays the fixed cost of a pass over the weights more often. Even a machine that takes
/// half a second for a token finishes such a step long before the step deadline.
const STEP_TOKENS_MIN: u32 = 16;
/// Weight of a new measurement.
const FRESH: f64 = 0.5;
/// What the estimate of a larger step loses with each step of the largest quick size: a slow one
/// (weights paged in, a busy machine) is forgotten after some 100 and its size tried again.
const FADE: f64 = 0.97;

/// Measured time through all stages by size of step, and the balance of the stages.
#[derive(Debug)]
pub(super) struct StepTime {
    classes: [Option<Measured>; CLASSES],
    /// Total time over the slowest stage's: how many batches keep that stage busy.
    overlap: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    tokens: f64,
    micros: f64,
}

impl StepTime {
    pub(super) fn new() -> Self {
        Self { classes: [None; CLASSES], overlap: None }
    }

    pub(super) fn observe(&mut self, tokens: u32, stage_micros: &[u32], target: Duration) {
        let target = target.as_micros() as f64;
        let total: f64 = stage_micros.iter().map(|micros| f64::from(*micros)).sum();
        let slowest = stage_micros.iter().copied().max().unwrap_or(0);
        if tokens == 0 || slowest == 0 {
            return;
        }
        let overlap = total / f64::from(slowest);
        self.overlap = Some(self.overlap.map_or(overlap, |old| old + (overlap - old) * FRESH));
        let class = tokens.ilog2() as usize;
        let fresh = Measured { tokens: f64::from(tokens), micros: total };
        let measured = self.classes[class].get_or_insert(fresh);
        measured.tokens += (fresh.tokens - measured.tokens) * FRESH;
        // What turns out too slow counts in full: its estimate may only have faded.
        let weight = if fresh.micros > target { 1.0 } else { FRESH };
        measured.micros += (fresh.micros - measured.micros) * weight;
        let quick = |m: &Measured| m.micros <= target;
        if self.classes[class + 1..].iter().flatten().any(quick) {
            return;
        }
        for larger in self.classes[class + 1..].iter_mut().flatten() {
            larger.micros *= FADE;
        }
    }

    /// Most tokens that a step may have so that it is predicted to take at most `target`.
    ///
    /// The largest size known to be quick enough may double, as far as its time per token allows;
    /// a larger size known to be too slow bounds it by interpolation.
    pub(super) fn budget(&self, target: Duration, tokens_max: u32) -> u32 {
        let floor = STEP_TOKENS_MIN.min(tokens_max).max(1);
        let target = target.as_micros() as f64;
        let known = || self.classes.iter().flatten();
        let quick = known().rfind(|m| m.micros <= target);
        let above = quick.map_or(0.0, |quick| quick.tokens);
        let slow = known().find(|m| m.micros > target && m.tokens > above);
        let tokens = match (quick, slow) {
            (Some(quick), Some(slow)) => {
                let room = (target - quick.micros) / (slow.micros - quick.micros);
                quick.tokens + (slow.tokens - quick.tokens) * room
            }
            (Some(quick), None) => {
                let proportional = quick.tokens * target / quick.micros.max(1.0);
                proportional.min(f64::max(quick.tokens * 2.0, STEP_TOKENS_MIN.into()))
            }
            (None, Some(slow)) => slow.tokens * target / slow.micros,
            (None, None) => STEP_TOKENS_MIN.into(),
        };
        (tokens as u32).clamp(floor, tokens_max.max(1))
    }

    /// Batches to keep in flight over `stages` stages. More than total / slowest would only queue
    /// before the slowest stage, each with fewer rows.
    pub(super) fn depth(&self, stages: u32) -> u32 {
        let stages = stages.max(1);
        self.overlap.map_or(stages, |overlap| (overlap.ceil() as u32).clamp(1, stages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(250);

    /// Runs steps of as many tokens as allowed on a machine with these costs; the last budget.
    fn settle(fixed_micros: u32, micros_per_token: u32, steps: usize) -> u32 {
        let mut time = StepTime::new();
        for _ in 0..steps {
            let tokens = time.budget(TARGET, 2048);
            time.observe(tokens, &[fixed_micros + micros_per_token * tokens], TARGET);
        }
        time.budget(TARGET, 2048)
    }

    #[test]
    fn a_quick_machine_reaches_the_plans_limit() {
        assert_eq!(settle(1_000, 10, 12), 2048);
    }

    #[test]
    fn a_slow_machine_settles_where_a_step_takes_the_target() {
        // 20 ms + 1 ms per token: 230 tokens take 250 ms.
        let budget = settle(20_000, 1_000, 60);
        assert!((190..=240).contains(&budget), "{budget}");
    }

    #[test]
    fn a_machine_that_cannot_do_it_still_gets_a_step_worth_its_fixed_cost() {
        assert_eq!(settle(900_000, 5_000, 20), STEP_TOKENS_MIN);
    }

    #[test]
    fn decode_steps_alone_do_not_shrink_what_prefill_may_take() {
        let mut time = StepTime::new();
        for _ in 0..1000 {
            time.observe(1, &[30_000], TARGET);
        }
        assert!(time.budget(TARGET, 2048) >= 8);
        time.observe(8, &[31_000], TARGET);
        assert!(time.budget(TARGET, 2048) >= 16);
    }

    #[test]
    fn one_slow_step_is_forgotten() {
        let mut time = StepTime::new();
        time.observe(64, &[5_000_000], TARGET);
        for _ in 0..300 {
            let tokens = time.budget(TARGET, 512);
            time.observe(tokens, &[10_000 + 100 * tokens], TARGET);
        }
        assert_eq!(time.budget(TARGET, 512), 512);
    }

    #[test]
    fn depth_follows_the_balance_of_the_stages() {
        let mut time = StepTime::new();
        assert_eq!(time.depth(4), 4);
        time.observe(8, &[100, 100, 100, 100], TARGET);
        assert_eq!(time.depth(4), 4);
        for _ in 0..20 {
            time.observe(8, &[5, 5, 5, 100], TARGET);
        }
        assert_eq!(time.depth(4), 2);
    }
}
