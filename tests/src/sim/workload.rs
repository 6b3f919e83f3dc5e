//! What clients ask for, and when some of them go away.

use std::sync::Arc;
use std::time::Duration;

use coordinator::gateway::request::ChoiceSpec;
use protocol::generate::FinishReason;
use protocol::ids::TokenId;
use protocol::sampling_params::SamplingParams;

use super::fake_stage::{STOP, VOCAB_SIZE, undisturbed};
use super::random::Random;

#[derive(Clone, Debug)]
pub struct Client {
    pub arrives: Duration,
    /// When it hangs up, if it has no patience.
    pub leaves: Option<Duration>,
    pub spec: ChoiceSpec,
    /// The answer of one undisturbed process.
    pub answer: Vec<TokenId>,
    pub reason: FinishReason,
    /// Arrives long after the last fault: only a whole answer will do.
    pub after_faults: bool,
}

/// `count` clients that arrive from `start` to `end`.
pub(super) fn clients(
    random: &mut Random,
    count: usize,
    start: Duration,
    end: Duration,
    length_max: u32,
    after_faults: bool,
) -> Vec<Client> {
    let span = (end - start).as_millis() as u32;
    let client = |_| {
        let arrives = start + random.millis(0, span);
        let impatient = random.percent(20) && !after_faults;
        let leaves = impatient.then(|| arrives + random.millis(0, 3000));
        let spec = spec(random, length_max);
        let ChoiceSpec { prompt, choice_seed, tokens_max, .. } = &spec;
        let (answer, reason) = undisturbed(prompt, *choice_seed, *tokens_max, length_max);
        Client { arrives, leaves, spec, answer, reason, after_faults }
    };
    (0..count).map(client).collect()
}

fn spec(random: &mut Random, length_max: u32) -> ChoiceSpec {
    let long = random.percent(15);
    let length = random.between(1, if long { length_max - 2 } else { 30 });
    let token = |_| TokenId(random.between(3, VOCAB_SIZE - 1));
    let prompt: Arc<[TokenId]> = (0..length).map(token).collect();
    ChoiceSpec {
        request_id: "simulated".to_owned(),
        prompt,
        sampling: SamplingParams { stop_tokens: vec![STOP], ..Default::default() },
        choice_seed: random.draw(),
        tokens_max: random.between(1, 60),
    }
}
