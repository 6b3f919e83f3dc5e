//! A step of decoding takes no memory that the stage does not have already.

use std::sync::Arc;
use std::time::Duration;

use checkpoint::WeightType;
use engine::collective::{Collective, Mesh, in_process_group};
use engine::{Compute, KernelSet, Stage, StageInput};
use protocol::ids::{SequenceId, TokenId};
use protocol::model_spec::{Architecture, KvType};
use protocol::plan::ActivationType;
use protocol::sampling_params::SamplingParams;
use protocol::step_batch::StepBatch;

use crate::random_model::random_model;
use crate::running::{batch, chain_on, prompt, rows, start};
use crate::small_specs::small_spec;

const SEQUENCES: u32 = 3;

/// Steps of all sequences: their prompts, then a token each, some of them into a new block.
fn steps(sampling: &SamplingParams) -> Vec<StepBatch> {
    let each = |position: usize| {
        let row = |id| rows(id, position, &prompt(u64::from(id), 1, 300));
        batch((0..SEQUENCES).map(row).collect())
    };
    let ids = |id: u32| prompt(u64::from(id), 10, 300);
    let mut first = batch((0..SEQUENCES).map(|id| rows(id, 0, &ids(id))).collect());
    first.starts = (0..SEQUENCES).map(|id| start(id, &ids(id), sampling.clone())).collect();
    std::iter::once(first).chain((10..40).map(each)).collect()
}

fn run(stage: &mut Stage, steps: &[StepBatch]) {
    for step in steps {
        stage.forward(step, StageInput::Tokens).expect("the step runs");
    }
}

#[test]
fn decoding_allocates_nothing_in_any_family_and_state() {
    let drawn = SamplingParams { temperature: 0.8, top_p: 0.9, ..SamplingParams::default() };
    let cases = Architecture::ALL.into_iter().map(|family| (family, KvType::F16, drawn.clone()));
    let greedy = SamplingParams::default();
    let more = [
        (Architecture::Llama, KvType::Q8_0, greedy.clone()),
        (Architecture::DeepseekV3, KvType::Q8_0, greedy),
    ];
    for (family, kv, sampling) in cases.chain(more) {
        let model = random_model(small_spec(family, false), WeightType::Q8_0, 5);
        // The counter counts its own thread: the one that computes here.
        let compute = Arc::new(Compute::new(KernelSet::best(), 1, || {}));
        let mut stage = chain_on(&compute, &model, &[], kv, ActivationType::F32).remove(0);
        let steps = steps(&sampling);
        run(&mut stage, &steps[..3]);
        let counted = allocation_counter::measure(|| run(&mut stage, &steps[3..]));
        assert_eq!(counted.count_total, 0, "{family} {kv:?}");
    }
}

#[test]
fn a_sequence_that_ends_gives_its_memory_back() {
    let model = random_model(small_spec(Architecture::Llama, false), WeightType::Q8_0, 6);
    let compute = Arc::new(Compute::new(KernelSet::best(), 1, || {}));
    let mut stage = chain_on(&compute, &model, &[], KvType::F16, ActivationType::F32).remove(0);
    let once = |stage: &mut Stage| {
        let mut step = batch(vec![rows(0, 0, &[TokenId(1), TokenId(2)])]);
        step.starts.push(start(0, &[TokenId(1), TokenId(2)], SamplingParams::default()));
        let mut end = batch(Vec::new());
        end.ends.push(SequenceId(0));
        run(stage, &[step, end]);
    };
    once(&mut stage);
    let counted = allocation_counter::measure(|| (0..20).for_each(|_| once(&mut stage)));
    assert!(counted.count_total > 0, "beginning takes some");
    assert_eq!(counted.bytes_current, 0);
}

#[test]
fn a_group_exchanges_in_the_buffers_that_it_has() {
    const CALLS: usize = 50;
    let mut ranks = in_process_group(2, Duration::from_secs(20));
    let exchange = |rank: &mut Mesh, calls: usize| {
        let mut values = [1.0; 4096];
        for _ in 0..calls {
            rank.all_reduce(&mut values).expect("both are there");
        }
    };
    let (mut other, mut own) = (ranks.pop().expect("two"), ranks.pop().expect("two"));
    let peer = std::thread::spawn(move || exchange(&mut other, 2 * CALLS));
    exchange(&mut own, CALLS);
    let counted = allocation_counter::measure(|| exchange(&mut own, CALLS));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    peer.join().expect("no panic");
}
