//! Where the pipeline is cut changes no bit.

use std::ops::ControlFlow;
use std::sync::Arc;

use checkpoint::WeightType;
use engine::{Compute, GenerateOptions, KernelSet, generate};
use protocol::model_spec::{Architecture, KvType};
use protocol::plan::ActivationType;
use protocol::sampling_params::SamplingParams;
use protocol::step_batch::SampledToken;

use crate::random_model::{RandomModel, random_model};
use crate::running::{chain_on, computes, prompt, watched};
use crate::small_specs::small_spec;

const CUTS: [&[u32]; 8] = [&[], &[1], &[2], &[3], &[1, 2], &[1, 3], &[2, 3], &[1, 2, 3]];

fn answer(
    compute: &Arc<Compute>,
    model: &RandomModel,
    cuts: &[u32],
    activation: ActivationType,
    options: &GenerateOptions,
) -> Vec<SampledToken> {
    let mut stages = chain_on(compute, model, cuts, KvType::F16, activation);
    let mut answer = Vec::new();
    let mut keep = |token: &SampledToken| {
        answer.push(token.clone());
        ControlFlow::Continue(())
    };
    generate(&mut stages, &prompt(9, 20, 300), options, &mut keep).expect("generates");
    answer
}

fn check(
    architecture: Architecture,
    weight: WeightType,
    activation: ActivationType,
    sampling: SamplingParams,
) {
    let model = random_model(small_spec(architecture, weight == WeightType::Q6K), weight, 3);
    let options = GenerateOptions { sampling, tokens_max: 10, choice_seed: 5, prefill_chunk: 7 };
    let whole = answer(Compute::of_process(), &model, &[], activation, &options);
    assert_eq!(whole.len(), 10);
    for compute in computes() {
        // The sets' own bits are watched elsewhere: here every cut in one, some in the others.
        let best = compute.set() == KernelSet::best();
        for cuts in &CUTS[if best { 0 } else { 6 }..] {
            let split = answer(&compute, &model, cuts, activation, &options);
            let set = compute.set();
            assert_eq!(
                split, whole,
                "{architecture} {weight} {activation:?} {set} cut at {cuts:?}"
            );
        }
    }
}

#[test]
fn every_cut_gives_the_same_tokens_and_log_probabilities_in_every_weight_type() {
    for weight in WeightType::ALL {
        check(Architecture::Qwen2, weight, ActivationType::F32, watched());
    }
}

#[test]
fn every_family_gives_the_same_over_every_cut() {
    for architecture in Architecture::ALL {
        check(architecture, WeightType::F16, ActivationType::F32, watched());
    }
}

#[test]
fn bf16_activations_are_rounded_at_every_layer_so_cuts_do_not_show() {
    check(Architecture::Qwen2, WeightType::F16, ActivationType::Bf16, watched());
    check(Architecture::Qwen2, WeightType::Q4K, ActivationType::Bf16, watched());
}

#[test]
fn seeded_answers_are_the_same_over_every_cut() {
    let sampling = SamplingParams { temperature: 0.9, top_p: 0.95, ..watched() };
    check(Architecture::Qwen2, WeightType::Q8_0, ActivationType::F32, sampling);
}
