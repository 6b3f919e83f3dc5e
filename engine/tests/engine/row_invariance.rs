//! What a row yields depends on nothing but its own sequence.

use std::sync::Arc;

use checkpoint::WeightType;
use engine::{Compute, KernelSet};
use protocol::ids::{BlockId, TokenId};
use protocol::model_spec::{Architecture, KvType};
use protocol::plan::ActivationType;
use protocol::step_batch::StepBatch;

use crate::random_model::{RandomModel, random_model};
use crate::running::{
    batch, chain, chain_on, computes, hidden_rows, prompt, rows, rows_in, run, start, watched,
};
use crate::small_specs::small_spec;

const WIDTH: usize = 256 * 4;

fn model(weight: WeightType) -> RandomModel {
    random_model(small_spec(Architecture::Llama, false), weight, 1)
}

/// A prompt's hidden rows after three layers, cut into chunks of `chunk` tokens.
fn chunked(
    compute: &Arc<Compute>,
    model: &RandomModel,
    prompt: &[TokenId],
    chunk: usize,
    kv: KvType,
) -> Vec<Vec<u8>> {
    let mut stage = chain_on(compute, model, &[3], kv, ActivationType::F32).remove(0);
    let mut hidden = Vec::new();
    for (i, tokens) in prompt.chunks(chunk).enumerate() {
        hidden.extend(hidden_rows(&mut stage, &batch(vec![rows(0, i * chunk, tokens)]), WIDTH));
    }
    hidden
}

#[test]
fn neither_chunks_nor_the_kernel_set_change_a_bit_in_any_weight_type() {
    for weight in WeightType::ALL {
        let model = model(weight);
        let prompt = prompt(2, 64, 300);
        let whole = chunked(Compute::of_process(), &model, &prompt, 64, KvType::F16);
        for compute in computes() {
            let best = compute.set() == KernelSet::best();
            for chunk in if best { &[1, 2, 3, 7, 16, 33, 64][..] } else { &[1, 7, 64] } {
                let hidden = chunked(&compute, &model, &prompt, *chunk, KvType::F16);
                let set = compute.set();
                assert!(hidden == whole, "{weight}, {set}: chunks of {chunk} give other bits");
            }
        }
    }
}

#[test]
fn chunks_and_neighbours_change_no_bit_in_any_family() {
    for architecture in Architecture::ALL {
        let model = random_model(small_spec(architecture, true), WeightType::Q8_0, 17);
        let prompt = prompt(6, 50, 300);
        let whole = chunked(Compute::of_process(), &model, &prompt, 50, KvType::F16);
        for chunk in [1, 7, 16] {
            let hidden = chunked(Compute::of_process(), &model, &prompt, chunk, KvType::F16);
            assert!(hidden == whole, "{architecture}: chunks of {chunk} give other bits");
        }
        let mut stage = chain(&model, &[3], KvType::F16, ActivationType::F32).remove(0);
        let others = (1..6).map(|id| rows(id, 0, &self::prompt(u64::from(id), 9, 300)));
        let all = others.chain([rows(0, 0, &prompt)]).collect();
        let hidden = hidden_rows(&mut stage, &batch(all), WIDTH);
        assert!(hidden[5 * 9..] == whole, "{architecture}: neighbours give other bits");
    }
}

#[test]
fn every_chunk_size_gives_the_same_bits_with_f32_state() {
    let model = model(WeightType::F16);
    let prompt = prompt(3, 21, 300);
    let compute = Compute::of_process();
    let whole = chunked(compute, &model, &prompt, 21, KvType::F32);
    for chunk in 1..21 {
        assert!(
            chunked(compute, &model, &prompt, chunk, KvType::F32) == whole,
            "chunks of {chunk}"
        );
    }
}

#[test]
fn a_row_does_not_see_its_neighbours_in_the_batch() {
    for weight in WeightType::ALL {
        let model = model(weight);
        let mut stage = chain(&model, &[3], KvType::F16, ActivationType::F32).remove(0);
        let alone = hidden_rows(&mut stage, &batch(vec![rows(0, 0, &[TokenId(42)])]), WIDTH);
        for neighbours in [1, 2, 6, 8] {
            let mut all = vec![rows(0, 0, &[TokenId(42)])];
            for id in 1..=neighbours {
                all.push(rows(id, 0, &prompt(u64::from(id), id as usize * 2, 300)));
            }
            all.rotate_left(neighbours as usize / 2);
            let before: usize =
                all.iter().take_while(|r| r.sequence.0 != 0).map(|r| r.tokens.len()).sum();
            let hidden = hidden_rows(&mut stage, &batch(all), WIDTH);
            assert!(hidden[before] == alone[0], "{weight}: {neighbours} neighbours");
        }
    }
}

#[test]
fn more_rows_than_one_pass_takes_are_sampled_as_they_are_alone() {
    for weight in [WeightType::F16, WeightType::Q6K, WeightType::Q4K] {
        let model = model(weight);
        let sequence = |id: u32| {
            let ids = prompt(100 + u64::from(id), 5, 300);
            let mut step = batch(vec![rows_in(id, 0, &ids, vec![BlockId(id)])]);
            step.starts.push(start(id, &ids, watched()));
            step
        };
        let mut together = batch(Vec::new());
        for id in 0..40 {
            let StepBatch { starts, rows, .. } = sequence(id);
            together.starts.extend(starts);
            together.rows.extend(rows);
        }
        let mut stages = chain(&model, &[], KvType::F16, ActivationType::F32);
        let samples = run(&mut stages, &together);
        let mut stages = chain(&model, &[], KvType::F16, ActivationType::F32);
        let alone: Vec<_> = (0..40).flat_map(|id| run(&mut stages, &sequence(id))).collect();
        assert!(samples == alone, "{weight}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    // Wide enough that products and attention are cut into parallel tasks.
    let mut spec = small_spec(Architecture::Qwen2, true);
    (spec.hidden_size, spec.ffn_size) = (512, 1024);
    let model = random_model(spec, WeightType::Q4K, 5);
    let prompt = prompt(4, 120, 300);
    let run = |threads: usize| {
        let compute = Arc::new(Compute::new(KernelSet::best(), threads, || {}));
        let stages = chain_on(&compute, &model, &[3], KvType::F16, ActivationType::F32);
        let stage = &mut stages.into_iter().next().expect("a stage");
        hidden_rows(stage, &batch(vec![rows(0, 0, &prompt)]), 512 * 4)
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
}
