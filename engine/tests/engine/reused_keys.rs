//! Layers that read another layer's keys and values, and make something of the tokens themselves
//! (Gemma 4's small models).

use std::ops::ControlFlow;
use std::sync::Arc;

use checkpoint::WeightType;
use engine::{
    Compute, EngineError, GenerateOptions, KernelSet, Stage, StageInput, StageMemory, generate,
};
use protocol::model_spec::{KvType, LayerRange};
use protocol::plan::ActivationType;
use protocol::step_batch::SampledToken;

use crate::random_model::{RandomModel, random_model};
use crate::running::{batch, chain, chain_on, computes, config, prompt, rows, watched};
use crate::small_specs::small_gemma4_e;

fn model(weight: WeightType) -> RandomModel {
    random_model(small_gemma4_e(), weight, 4)
}

fn answer(
    compute: &Arc<Compute>,
    model: &RandomModel,
    cuts: &[u32],
    chunk: u32,
) -> Vec<SampledToken> {
    let mut stages = chain_on(compute, model, cuts, KvType::F16, ActivationType::F32);
    let options = GenerateOptions {
        sampling: watched(),
        tokens_max: 10,
        choice_seed: 5,
        prefill_chunk: chunk,
    };
    let mut answer = Vec::new();
    let mut keep = |token: &SampledToken| {
        answer.push(token.clone());
        ControlFlow::Continue(())
    };
    generate(&mut stages, &prompt(9, 20, 300), &options, &mut keep).expect("generates");
    answer
}

#[test]
fn neither_the_cut_before_the_keys_nor_chunks_nor_the_kernel_set_change_a_bit() {
    for weight in [WeightType::F16, WeightType::Q8_0] {
        let model = model(weight);
        let whole = answer(Compute::of_process(), &model, &[], 20);
        assert_eq!(whole.len(), 10);
        for compute in computes() {
            for (cuts, chunk) in [(&[1][..], 7), (&[], 1)] {
                let found = answer(&compute, &model, cuts, chunk);
                assert_eq!(found, whole, "{weight} {} {cuts:?} {chunk}", compute.set());
            }
        }
    }
}

#[test]
fn a_cut_between_keys_and_the_layers_that_read_them_is_refused_by_name() {
    let model = model(WeightType::F16);
    for start in [2, 3] {
        let range = LayerRange::new(start, 4);
        assert!(!model.manifest.spec.can_cut(range.start));
        let config = config(range, KvType::F16, ActivationType::F32);
        let error = Stage::load(&model.manifest, &model, &config, &mut |_| {}).err();
        let text = error.expect("refused").to_string();
        assert!(text.contains("layer 2 reads the keys of layer 1") || start == 3, "{text}");
    }
    let config = config(LayerRange::new(3, 4), KvType::F16, ActivationType::F32);
    let error = Stage::load(&model.manifest, &model, &config, &mut |_| {}).err();
    assert!(matches!(error, Some(EngineError::CutFromKeys { .. })));
}

#[test]
fn neighbours_change_no_bit() {
    let model = model(WeightType::Q8_0);
    let ids = prompt(6, 30, 300);
    let logits = |others: u32| {
        let mut stage = chain(&model, &[], KvType::F16, ActivationType::F32).remove(0);
        let others = (1..=others).map(|id| rows(id, 0, &prompt(u64::from(id), 9, 300)));
        let step = batch(others.chain([rows(0, 0, &ids)]).collect());
        stage.logits(&step, StageInput::Tokens).expect("runs").pop()
    };
    assert_eq!(logits(5), logits(0));
}

#[test]
fn decoding_allocates_nothing_and_memory_is_what_was_told() {
    let model = model(WeightType::Q8_0);
    let compute = Arc::new(Compute::new(KernelSet::best(), 1, || {}));
    let mut stage = chain_on(&compute, &model, &[], KvType::F16, ActivationType::F32).remove(0);
    let step = |position| batch(vec![rows(0, position, &prompt(position as u64, 1, 300))]);
    let steps: Vec<_> = (0..20).map(step).collect();
    let mut run = |steps: &[_]| {
        steps.iter().for_each(|step| drop(stage.logits(step, StageInput::Tokens).expect("runs")));
    };
    run(&steps[..3]);
    let counted = allocation_counter::measure(|| run(&steps[3..]));
    // The logits themselves are handed out as lists.
    assert!(counted.count_total <= 2 * 17, "{}", counted.count_total);
    let whole = config(model.manifest.spec.all_layers(), KvType::F16, ActivationType::F32);
    let told = StageMemory::estimate(&model.manifest, &whole).expect("all tensors are there");
    assert_eq!(stage.memory().kv, told.kv);
    let weights = stage.memory().weights as f64 / told.weights as f64;
    assert!((0.97..1.03).contains(&weights), "weights {weights} of what was told");
}
