//! What each option of a request does to the choice, on logits written by hand.

use std::sync::Arc;

use protocol::sampling_params::SamplingParams;

use super::*;

const ID: SequenceId = SequenceId(1);

fn sampler(prompt: &[u32], emitted: &[u32], sampling: SamplingParams) -> Sampler {
    let ids = |ids: &[u32]| -> Arc<[TokenId]> { ids.iter().map(|id| TokenId(*id)).collect() };
    let (prompt, emitted) = (ids(prompt), ids(emitted));
    let mut sampler = Sampler::default();
    let start = SequenceStart { sequence: ID, sampling, choice_seed: 3, prompt, emitted };
    sampler.start(&start, 64);
    sampler
}

fn sample(sampler: &mut Sampler, position: u64, logits: &[f32]) -> SampledToken {
    let at = SampleAt { sequence: ID, position, allowed: None };
    sampler.sample(at, &mut logits.to_vec()).expect("samples")
}

fn token(prompt: &[u32], emitted: &[u32], sampling: SamplingParams, logits: &[f32]) -> u32 {
    let position = (prompt.len() + emitted.len()) as u64;
    sample(&mut sampler(prompt, emitted, sampling), position, logits).token.0
}

/// Tokens drawn at 2000 positions from the same logits.
fn drawn(sampling: SamplingParams, logits: &[f32]) -> Vec<usize> {
    let mut sampler = sampler(&[0], &[], sampling);
    let mut counts = vec![0; logits.len()];
    for position in 1..=2000 {
        counts[sample(&mut sampler, position, logits).token.0 as usize] += 1;
    }
    counts
}

fn warm() -> SamplingParams {
    SamplingParams { temperature: 1.0, ..SamplingParams::default() }
}

#[test]
fn greedy_takes_the_largest_and_the_lower_id_of_equals() {
    assert_eq!(token(&[0], &[], SamplingParams::default(), &[1.0, 3.0, 3.0, 2.0]), 1);
}

#[test]
fn draws_follow_the_probabilities() {
    let counts = drawn(warm(), &[0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()]);
    for (count, expected) in counts.iter().zip([1000, 600, 400]) {
        assert!(count.abs_diff(expected) < 90, "{counts:?}");
    }
}

#[test]
fn a_low_temperature_sharpens_and_a_high_one_flattens() {
    let logits = [1.0, 0.0];
    let at = |temperature| drawn(SamplingParams { temperature, ..warm() }, &logits)[0];
    assert!(at(0.2) > 1950);
    assert!((1050..1300).contains(&at(5.0)));
}

#[test]
fn top_k_keeps_the_k_likeliest() {
    let counts = drawn(SamplingParams { top_k: 2, ..warm() }, &[0.0, 1.0, 0.0, 0.9, 0.9]);
    assert_eq!((counts[0], counts[2], counts[4]), (0, 0, 0), "ties go to the lower id");
    assert!(counts[1] > 500 && counts[3] > 500);
}

#[test]
fn top_p_keeps_the_mass_and_at_least_one() {
    let logits: Vec<f32> = [0.1_f32, 0.5, 0.3, 0.1].iter().map(|p| p.ln()).collect();
    let counts = drawn(SamplingParams { top_p: 0.75, ..warm() }, &logits);
    assert!(counts[0] == 0 && counts[3] == 0 && counts[2] > 500, "{counts:?}");
    assert_eq!(drawn(SamplingParams { top_p: 0.0, ..warm() }, &logits)[1], 2000);
}

#[test]
fn top_p_holds_over_more_tokens_than_are_sorted_at_first() {
    // 3000 equal tokens: half of the mass is the first 1500 ids.
    let mut sampler = sampler(&[0], &[], SamplingParams { top_p: 0.5, ..warm() });
    for position in 1..200 {
        assert!(sample(&mut sampler, position, &[0.0; 3000]).token.0 <= 1500);
    }
}

#[test]
fn min_p_drops_what_is_far_less_likely_than_the_best() {
    let logits: Vec<f32> = [0.6_f32, 0.33, 0.07].iter().map(|p| p.ln()).collect();
    let counts = drawn(SamplingParams { min_p: 0.2, ..warm() }, &logits);
    assert!(counts[2] == 0 && counts[1] > 500, "{counts:?}");
}

#[test]
fn repetition_penalty_counts_prompt_and_answer_the_others_only_the_answer() {
    let with = |change: fn(&mut SamplingParams)| {
        let mut params = SamplingParams::default();
        change(&mut params);
        params
    };
    let logits = [2.0, 1.9, -1.0];
    let repetition = with(|p| p.repetition_penalty = 1.5);
    assert_eq!(token(&[0], &[], repetition.clone(), &logits), 1);
    assert_eq!(token(&[0], &[1], repetition.clone(), &logits), 0);
    assert_eq!(token(&[0], &[], repetition, &[-1.0, -1.1, -9.0]), 1, "negative logits shrink");
    let presence = with(|p| p.presence_penalty = 0.5);
    assert_eq!(token(&[0, 0], &[], presence.clone(), &logits), 0, "a prompt is no answer");
    assert_eq!(token(&[1], &[0, 0, 0], presence, &[2.0, 1.2, 0.0]), 0, "once, however often");
    let frequency = with(|p| p.frequency_penalty = 0.5);
    assert_eq!(token(&[1], &[0, 0], frequency.clone(), &[2.0, 1.2, 0.0]), 1, "per occurrence");
    assert_eq!(token(&[1], &[0], frequency, &[2.0, 1.2, 0.0]), 0);
}

#[test]
fn bias_and_mask_move_the_choice() {
    let logit_bias = vec![(TokenId(2), 5.0), (TokenId(99), 5.0)];
    let params = SamplingParams { logit_bias, ..SamplingParams::default() };
    assert_eq!(token(&[0], &[], params, &[2.0, 1.0, 0.0]), 2);
    let mask = TokenMask { words: vec![0b010] };
    let at = SampleAt { sequence: ID, position: 1, allowed: Some(&mask) };
    let mut sampler = sampler(&[0], &[], warm());
    let sampled = sampler.sample(at, &mut [2.0, 1.0, 0.0]).expect("samples");
    assert_eq!(sampled.token, TokenId(1));
}

#[test]
fn no_stop_token_before_min_tokens() {
    let params = SamplingParams {
        min_tokens: 2,
        stop_tokens: vec![TokenId(0)],
        ..SamplingParams::default()
    };
    let logits = [9.0, 1.0];
    assert_eq!(token(&[1], &[], params.clone(), &logits), 1);
    assert_eq!(token(&[1], &[1], params.clone(), &logits), 1);
    assert_eq!(token(&[1], &[1, 1], params, &logits), 0);
}

#[test]
fn a_position_draws_the_same_whatever_came_before_it() {
    let logits = [0.3, 0.1, 0.4, 0.1, 0.5];
    let mut stream = sampler(&[0, 1], &[], warm());
    let tokens: Vec<u32> = (2..40).map(|at| sample(&mut stream, at, &logits).token.0).collect();
    for resumed in [1, 7, 20] {
        let mut again = sampler(&[0, 1], &tokens[..resumed], warm());
        let rest = (2 + resumed as u64..40).map(|at| sample(&mut again, at, &logits).token.0);
        assert_eq!(rest.collect::<Vec<_>>(), tokens[resumed..]);
    }
}

#[test]
fn a_position_sampled_again_does_not_count_twice() {
    let params = SamplingParams { frequency_penalty: 1.0, ..SamplingParams::default() };
    let mut sampler = sampler(&[1], &[], params);
    let logits = [2.0, 0.5];
    assert_eq!(sample(&mut sampler, 1, &logits).token.0, 0);
    assert_eq!(sample(&mut sampler, 1, &logits).token.0, 0);
    assert_eq!(sample(&mut sampler, 2, &logits).token.0, 0, "one occurrence costs 1");
    assert_eq!(sample(&mut sampler, 3, &logits).token.0, 1);
}

#[test]
fn log_probabilities_are_of_the_adjusted_distribution_before_truncation() {
    let params = SamplingParams {
        logprobs: Some(2),
        top_k: 1,
        temperature: 0.1,
        logit_bias: vec![(TokenId(2), 1.0)],
        ..SamplingParams::default()
    };
    let mut sampler = sampler(&[0], &[], params);
    let sampled = sample(&mut sampler, 1, &[1.0, 2.0, 2.0, 0.0]);
    let logprobs = sampled.logprobs.expect("asked for");
    let total = 1.0f64.exp() + 2.0f64.exp() + 3.0f64.exp() + 1.0;
    let expected = |logit: f64| (logit - total.ln()) as f32;
    assert_eq!(sampled.token, TokenId(2));
    assert!((logprobs.chosen - expected(3.0)).abs() < 1e-6);
    let ids: Vec<_> = logprobs.top.iter().map(|(token, _)| token.0).collect();
    assert_eq!(ids, [2, 1]);
    assert!((logprobs.top[1].1 - expected(2.0)).abs() < 1e-6);
}

#[test]
fn logits_that_are_no_numbers_are_an_error() {
    for bad in [f32::NAN, f32::INFINITY] {
        let at = SampleAt { sequence: ID, position: 1, allowed: None };
        let error = sampler(&[0], &[], warm()).sample(at, &mut [1.0, bad]);
        assert!(matches!(error, Err(EngineError::NotFinite { position: 1, .. })));
    }
}

#[cfg(feature = "candle")]
#[test]
fn a_choice_from_the_likeliest_is_that_from_the_whole_row() {
    let random = |seed: u64, i: u64| draw::uniform(seed, i) as f32;
    let options = [
        SamplingParams::default(),
        SamplingParams { top_k: 1, ..warm() },
        SamplingParams { top_k: 5, ..warm() },
        SamplingParams { top_k: 40, top_p: 0.8, ..warm() },
        SamplingParams { top_k: 20, min_p: 0.3, temperature: 1.7, ..warm() },
        SamplingParams { top_k: 255, min_p: 0.02, top_p: 0.95, ..warm() },
    ];
    for (round, sampling) in (0..200).flat_map(|round| options.iter().map(move |o| (round, o))) {
        // Coarse numbers: many are equal.
        let logits: Vec<f32> = (0..300).map(|i| (random(round, i) * 30.0).round() / 4.0).collect();
        let (mut whole, mut few) =
            (sampler(&[0], &[], sampling.clone()), sampler(&[0], &[], sampling.clone()));
        let expected = sample(&mut whole, round + 1, &logits);
        let at = SampleAt { sequence: ID, position: round + 1, allowed: None };
        let Needed::Likeliest(count) = few.needed(&at) else { panic!("{sampling:?} needs all") };
        let all = (0..).zip(&logits).map(|(token, logit)| Candidate { logit: *logit, token });
        let mut likeliest: Vec<_> = all.collect();
        likeliest.sort_by(likelier);
        let best = likeliest[0];
        likeliest.truncate(count);
        likeliest.reverse();
        let found = few.sample_likeliest(at, best, likeliest).expect("samples");
        assert_eq!(found, expected, "round {round} {sampling:?}");
    }
}

#[cfg(feature = "candle")]
#[test]
fn choices_that_look_at_more_logits_need_all() {
    let needed = |sampling| {
        let at = SampleAt { sequence: ID, position: 1, allowed: None };
        sampler(&[0], &[], sampling).needed(&at)
    };
    let k = SamplingParams { top_k: 4, ..warm() };
    assert_eq!(needed(k.clone()), Needed::Likeliest(5));
    for sampling in [
        warm(),
        SamplingParams { top_p: 0.9, ..warm() },
        SamplingParams { top_k: 5000, ..warm() },
        SamplingParams { logprobs: Some(0), ..k.clone() },
        SamplingParams { repetition_penalty: 1.1, ..k.clone() },
        SamplingParams { presence_penalty: 0.1, ..k.clone() },
        SamplingParams { frequency_penalty: 0.1, ..k.clone() },
        SamplingParams { logit_bias: vec![(TokenId(0), 1.0)], ..k.clone() },
        SamplingParams { min_tokens: 2, ..k.clone() },
    ] {
        assert_eq!(needed(sampling.clone()), Needed::All, "{sampling:?}");
    }
}
