//! States in slots: sequences keep to their own, whoever had them before, and can be copied out.

use checkpoint::WeightType;
use engine::{Compute, EngineError, KernelSet, Stage, StageInput};
use protocol::ids::{BlockId, StateSlot, TokenId};
use protocol::model_spec::{Architecture, DeltaNetSpec, KvType, LayerRange, ModelSpec, StateKind};
use protocol::plan::ActivationType;
use protocol::step_batch::{Sample, SampledToken, SequenceRows};

use crate::random_model::{RandomModel, random_model};
use crate::running::{
    batch, chain, chain_on, computes, config, hidden_rows, prompt, rows, run, start, watched,
};
use crate::small_specs::small_spec;

const WIDTH: usize = 256 * 4;

fn model(tied: bool) -> RandomModel {
    random_model(small_spec(Architecture::Qwen35, tied), WeightType::Q8_0, 23)
}

fn stages(model: &RandomModel) -> Vec<Stage> {
    chain(model, &[2], KvType::F16, ActivationType::F32)
}

fn in_slot(rows: SequenceRows, slot: u32) -> SequenceRows {
    SequenceRows { state_slot: Some(StateSlot(slot)), ..rows }
}

fn unsampled(rows: SequenceRows) -> SequenceRows {
    SequenceRows { sample: Sample::No, ..rows }
}

/// Prefills `ids` in `slot` and decodes five tokens.
fn answer(stages: &mut [Stage], ids: &[TokenId], slot: u32) -> Vec<SampledToken> {
    let mut step = batch(vec![in_slot(rows(1, 0, ids), slot)]);
    step.starts.push(start(1, ids, watched()));
    let mut answer = run(stages, &step);
    for i in 0..5 {
        let next = [answer[i].token];
        answer.extend(run(stages, &batch(vec![in_slot(rows(1, ids.len() + i, &next), slot)])));
    }
    answer
}

#[test]
fn neither_chunks_nor_the_kernel_set_change_a_bit() {
    for architecture in [Architecture::Qwen3Next, Architecture::Qwen35] {
        let model = random_model(small_spec(architecture, false), WeightType::F16, 29);
        let ids = prompt(2, 70, 300);
        let chunked = |compute: &_, chunk: usize| {
            let mut stages = chain_on(compute, &model, &[3], KvType::F16, ActivationType::F32);
            let mut hidden = Vec::new();
            for (i, tokens) in ids.chunks(chunk).enumerate() {
                let batch = batch(vec![rows(0, i * chunk, tokens)]);
                hidden.extend(hidden_rows(&mut stages[0], &batch, WIDTH));
            }
            hidden
        };
        let whole = chunked(Compute::of_process(), 70);
        for compute in computes() {
            let best = compute.set() == KernelSet::best();
            for chunk in if best { &[1, 2, 3, 5, 33][..] } else { &[1, 7] } {
                let same = chunked(&compute, *chunk) == whole;
                assert!(same, "{architecture}, {}: chunks of {chunk}", compute.set());
            }
        }
    }
}

#[test]
fn a_slot_shows_nothing_of_the_sequence_that_had_it_before() {
    let model = model(true);
    let mut stages = stages(&model);
    let ids = prompt(50, 30, 300);
    let expected = answer(&mut stages, &ids, 3);
    answer(&mut stages, &prompt(51, 33, 300), 3);
    assert_eq!(answer(&mut stages, &ids, 3), expected);
    assert_eq!(answer(&mut stages, &ids, 0), expected);
}

#[test]
fn tokens_replayed_after_a_loss_give_the_same_state() {
    let model = model(false);
    let ids = prompt(52, 18, 300);
    let mut first = stages(&model);
    let expected = answer(&mut first, &ids, 2);
    // The answer so far is one prefill in another chain, cut elsewhere.
    let known: Vec<_> = ids.iter().copied().chain(expected[..5].iter().map(|s| s.token)).collect();
    let mut second = chain(&model, &[1, 3], KvType::F16, ActivationType::F32);
    let mut step = batch(vec![in_slot(rows(1, 0, &known), 7)]);
    step.starts.push(start(1, &known, watched()));
    let resumed = run(&mut second, &step);
    assert_eq!(resumed[0].logprobs, expected[5].logprobs);
    // Both have seen the same tokens.
    let mut third = stages(&model);
    run(&mut third, &{
        let mut step = batch(vec![in_slot(rows(1, 0, &known), 9)]);
        step.starts.push(start(1, &known, watched()));
        step
    });
    for (first, third) in first.iter().zip(&third) {
        let (old, new) = (first.snapshot(StateSlot(2)), third.snapshot(StateSlot(9)));
        assert!(old.expect("a slot") == new.expect("a slot"));
    }
}

#[test]
fn a_sequence_goes_on_from_a_snapshot_in_another_slot() {
    let model = model(true);
    let ids = prompt(53, 32, 300);
    let mut stages = stages(&model);
    let expected = answer(&mut stages, &ids, 1);
    // The first 16 tokens again, whose state and full block are kept.
    run(&mut stages, &batch(vec![unsampled(in_slot(rows(1, 0, &ids[..16]), 1))]));
    let kept: Vec<_> =
        stages.iter().map(|stage| stage.snapshot(StateSlot(1)).expect("a slot")).collect();
    assert!(kept.iter().all(|snapshot| snapshot.position == 16));
    // Another sequence runs in that slot, in blocks of its own.
    let other = prompt(54, 20, 300);
    let mut step = batch(vec![in_slot(rows(2, 0, &other), 1)]);
    step.starts.push(start(2, &other, watched()));
    run(&mut stages, &step);
    for (stage, snapshot) in stages.iter_mut().zip(&kept) {
        stage.restore(StateSlot(4), snapshot).expect("it fits");
    }
    let step = batch(vec![in_slot(rows(1, 16, &ids[16..]), 4)]);
    assert_eq!(run(&mut stages, &step)[0].logprobs, expected[0].logprobs);
}

#[test]
fn rows_whose_state_is_not_in_their_slot_are_refused() {
    let model = model(false);
    let mut stage = stages(&model).remove(0);
    let ids = prompt(55, 8, 300);
    let mut forward = |rows| stage.forward(&batch(rows), StageInput::Tokens).map(|_| ());
    forward(vec![in_slot(rows(1, 0, &ids), 1)]).expect("from the beginning");
    let elsewhere = |found: &Result<(), EngineError>| {
        matches!(found, Err(EngineError::StateElsewhere { position: 8, .. }))
    };
    assert!(elsewhere(&forward(vec![in_slot(rows(1, 8, &ids[..1]), 2)])));
    // Refused with what stands beside it, which changes nothing.
    let both = vec![in_slot(rows(1, 8, &ids[..1]), 1), in_slot(rows(2, 8, &ids[..1]), 1)];
    assert!(elsewhere(&forward(both)));
    let no_slot = SequenceRows { state_slot: None, ..rows(1, 8, &ids[..1]) };
    assert!(matches!(forward(vec![no_slot]), Err(EngineError::NoSlot { .. })));
    let beyond = forward(vec![in_slot(rows(1, 8, &ids[..1]), 64)]);
    assert!(matches!(beyond, Err(EngineError::BadSlot { slot: StateSlot(64), slots: 64 })));
    forward(vec![in_slot(rows(1, 8, &ids[..1]), 1)]).expect("it goes on where it stopped");
    let snapshot = stage.snapshot(StateSlot(1)).expect("a slot");
    let mut other = stages(&model).remove(1);
    let misfit = other.restore(StateSlot(0), &snapshot);
    assert!(matches!(misfit, Err(EngineError::BadSnapshot { .. })), "{misfit:?}");
    assert!(stage.snapshot(StateSlot(64)).is_err());
}

#[test]
fn shapes_that_do_not_run_are_refused_before_anything_is_read() {
    let whole = config(LayerRange::new(0, 4), KvType::F16, ActivationType::F32);
    let check = |change: fn(&mut ModelSpec, &mut DeltaNetSpec)| {
        let mut spec = small_spec(Architecture::Qwen35, false);
        let mut delta = spec.delta_net.expect("a hybrid");
        change(&mut spec, &mut delta);
        spec.delta_net = spec.delta_net.map(|_| delta);
        for layer in spec.layers.iter_mut().filter(|layer| layer.is_recurrent()) {
            layer.state = StateKind::Recurrent { bytes: delta.state_bytes() };
        }
        whole.check(&spec).map_err(|error| error.to_string())
    };
    check(|_, _| {}).expect("as it is");
    let refused = |change, wanted: &str| {
        let error = check(change).expect_err(wanted);
        assert!(error.contains(wanted), "{error}");
    };
    refused(|_, delta| delta.value_dim = 24, "linear value length is 24, expected a multiple");
    refused(|_, delta| delta.value_heads = 5, "linear value heads is 5");
    refused(|_, delta| delta.key_heads = 0, "linear value heads");
    refused(|_, delta| delta.conv_taps = 0, "taps");
    refused(|_, delta| (delta.key_dim, delta.key_heads) = (u32::MAX, 1), "16777216");
    refused(|spec, _| spec.delta_net = None, "keeps Recurrent");
}

#[test]
fn two_sequences_in_one_step_answer_as_they_do_alone() {
    let model = model(true);
    let prompts = [prompt(56, 21, 300), prompt(57, 6, 300)];
    let mut together = stages(&model);
    let mut step = batch(Vec::new());
    for (id, ids) in (1..).zip(&prompts) {
        step.starts.push(start(id, ids, watched()));
        // Row sets of one token and of several, in turn.
        step.rows.push(unsampled(rows(id, 0, &ids[..1])));
        step.rows.push(rows(id, 1, &ids[1..]));
    }
    step.rows.swap(1, 2);
    let samples = run(&mut together, &step);
    for (i, ids) in prompts.iter().enumerate() {
        let mut alone = stages(&model);
        let table: Vec<_> = (0..16).map(BlockId).collect();
        let mut step = batch(vec![crate::running::rows_in(1, 0, ids, table)]);
        step.starts.push(start(1, ids, watched()));
        assert_eq!(run(&mut alone, &step)[0].logprobs, samples[i].logprobs, "sequence {i}");
    }
}
