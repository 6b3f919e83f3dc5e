//! Keys and values in every type they can be kept in.

use std::sync::Arc;

use checkpoint::WeightType;
use engine::{Compute, EngineError, KernelSet, Stage, StageInput};
use protocol::ids::{BlockId, TokenId};
use protocol::model_spec::{Architecture, AttentionSpec, KvType};
use protocol::plan::ActivationType;
use protocol::step_batch::{BlockCopy, StepBatch};

use crate::random_model::{RandomModel, random_model};
use crate::running::{BLOCK_SIZE, batch, chain_on, computes, config, prompt, rows, rows_in};
use crate::small_specs::small_spec;

const TYPES: [KvType; 4] = [KvType::F32, KvType::F16, KvType::Bf16, KvType::Q8_0];

fn stage(compute: &Arc<Compute>, model: &RandomModel, kv: KvType) -> Stage {
    chain_on(compute, model, &[], kv, ActivationType::F32).remove(0)
}

fn logits(stage: &mut Stage, step: &StepBatch) -> Vec<Vec<f32>> {
    stage.logits(step, StageInput::Tokens).expect("the step runs")
}

/// The logits behind the last token of a prompt that came in chunks.
fn after(stage: &mut Stage, ids: &[TokenId], chunk: usize) -> Vec<f32> {
    let chunks = ids.chunks(chunk).enumerate();
    let last = chunks.map(|(i, ids)| logits(stage, &batch(vec![rows(0, i * chunk, ids)])));
    last.last().expect("a chunk").swap_remove(0)
}

#[test]
fn neither_chunks_nor_the_kernel_set_change_a_bit_in_any_type() {
    for architecture in [Architecture::Llama, Architecture::Gemma3, Architecture::DeepseekV3] {
        let mut spec = small_spec(architecture, false);
        spec.layers.truncate(2);
        let model = random_model(spec, WeightType::F16, 21);
        let ids = prompt(2, 20, 300);
        for kv in TYPES {
            let whole = after(&mut stage(Compute::of_process(), &model, kv), &ids, 20);
            for compute in computes() {
                let best = compute.set() == KernelSet::best();
                for chunk in if best { &[1, 7, 20][..] } else { &[7] } {
                    let logits = after(&mut stage(&compute, &model, kv), &ids, *chunk);
                    assert!(logits == whole, "{architecture} {kv:?} {} {chunk}", compute.set());
                }
            }
        }
    }
}

#[test]
fn shorter_types_cost_little_of_the_logits() {
    for architecture in [Architecture::Llama, Architecture::DeepseekV3] {
        let model = random_model(small_spec(architecture, false), WeightType::F32, 22);
        let ids = prompt(3, 50, 300);
        let of = |kv| after(&mut stage(Compute::of_process(), &model, kv), &ids, 50);
        let exact = of(KvType::F32);
        for (kv, limit) in [(KvType::F16, 1e-3), (KvType::Bf16, 5e-3), (KvType::Q8_0, 1e-2)] {
            let square = |x: f32| x * x;
            let error: f32 = of(kv).iter().zip(&exact).map(|(a, b)| square(a - b)).sum();
            let relative = (error / exact.iter().copied().map(square).sum::<f32>()).sqrt();
            assert!(relative > 0.0 && relative < limit, "{architecture} {kv:?}: {relative}");
        }
    }
}

#[test]
fn a_copied_block_holds_the_same_in_every_type() {
    for architecture in [Architecture::Llama, Architecture::DeepseekV3] {
        let model = random_model(small_spec(architecture, false), WeightType::F16, 23);
        let ids = prompt(4, BLOCK_SIZE as usize, 300);
        for kv in TYPES {
            let mut stage = stage(Compute::of_process(), &model, kv);
            let table = |first| vec![BlockId(first), BlockId(3)];
            logits(&mut stage, &batch(vec![rows_in(0, 0, &ids, table(5))]));
            let next = |table| rows_in(0, ids.len(), &[TokenId(7)], table);
            let original = logits(&mut stage, &batch(vec![next(table(5))]));
            let mut step = batch(vec![next(table(159))]);
            step.copies.push(BlockCopy { from: BlockId(5), to: BlockId(159) });
            assert_eq!(logits(&mut stage, &step), original, "{architecture} {kv:?}");
        }
    }
}

#[test]
fn heads_that_are_not_made_of_whole_blocks_are_refused() {
    let mut spec = small_spec(Architecture::Llama, false);
    spec.attention = AttentionSpec::grouped(4, 2, 80);
    spec.rope.dims = 80;
    let model = random_model(spec, WeightType::F16, 24);
    let load = |kv| {
        let config = config(model.manifest.spec.all_layers(), kv, ActivationType::F32);
        Stage::load(&model.manifest, &model, &config, &mut |_| {}).map(|_| ())
    };
    assert!(load(KvType::Bf16).is_ok());
    let error = load(KvType::Q8_0).expect_err("80 is no multiple of 32");
    assert!(matches!(error, EngineError::BadSpec { field: "head_dim", value: 80, .. }), "{error}");
}
