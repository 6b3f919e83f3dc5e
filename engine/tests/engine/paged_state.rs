//! Sequences keep to their own blocks, whatever order and interleaving the head chooses.

use checkpoint::WeightType;
use engine::Stage;
use protocol::ids::{BlockId, SequenceId, TokenId};
use protocol::model_spec::{Architecture, KvType};
use protocol::plan::ActivationType;
use protocol::step_batch::{BlockCopy, SampledToken, SequenceStart};

use crate::random_model::{RandomModel, random_model};
use crate::running::{batch, chain, prompt, rows, rows_in, run, start, watched};
use crate::small_specs::small_spec;

fn model() -> RandomModel {
    random_model(small_spec(Architecture::Llama, true), WeightType::F16, 11)
}

fn stages(model: &RandomModel) -> Vec<Stage> {
    chain(model, &[2], KvType::F16, ActivationType::F32)
}

/// Prefills and decodes `steps` tokens of one sequence alone, in the blocks of `table`.
fn alone(stages: &mut [Stage], id: u32, ids: &[TokenId], table: &[BlockId]) -> Vec<SampledToken> {
    let mut step = batch(vec![rows_in(id, 0, ids, table.to_vec())]);
    step.starts.push(start(id, ids, watched()));
    let mut answer = run(stages, &step);
    for i in 0..5 {
        let next = answer[i].token;
        let step = batch(vec![rows_in(id, ids.len() + i, &[next], table.to_vec())]);
        answer.extend(run(stages, &step));
    }
    answer
}

fn table(blocks: impl IntoIterator<Item = u32>) -> Vec<BlockId> {
    blocks.into_iter().map(BlockId).collect()
}

#[test]
fn interleaved_sequences_answer_as_they_do_alone() {
    let model = model();
    let prompts: Vec<_> = (0..4).map(|i| prompt(30 + i, 5 + 7 * i as usize, 300)).collect();
    let mut stages = stages(&model);
    let mut answers = vec![Vec::new(); 4];
    // Sequence i joins at step i; prefills stand beside decodes.
    for step in 0..9 {
        let mut all = batch(Vec::new());
        let running = (0..4).filter(|i| (*i..*i + 6).contains(&step)).collect::<Vec<usize>>();
        for &i in &running {
            let (id, prompt): (u32, &[TokenId]) = (i as u32, &prompts[i]);
            match step - i {
                0 => {
                    all.starts.push(start(id, prompt, watched()));
                    all.rows.push(rows(id, 0, prompt));
                }
                decoded => {
                    let last: &SampledToken = &answers[i][decoded - 1];
                    all.rows.push(rows(id, prompt.len() + decoded - 1, &[last.token]));
                }
            }
        }
        for (i, sample) in running.iter().zip(run(&mut stages, &all)) {
            assert_eq!(sample.sequence, SequenceId(*i as u64));
            answers[*i].push(sample);
        }
    }
    for (i, answer) in answers.iter().enumerate() {
        let mut fresh = self::stages(&model);
        let expected = alone(&mut fresh, i as u32, &prompts[i], &table(0..16));
        assert_eq!(*answer, expected, "sequence {i}");
    }
}

#[test]
fn reused_and_scattered_blocks_show_nothing_of_their_past() {
    let model = model();
    let mut stages = stages(&model);
    let first = prompt(50, 30, 300);
    let expected = alone(&mut stages, 1, &first, &table(0..5));
    alone(&mut stages, 2, &prompt(51, 33, 300), &table([4, 2, 0, 1, 3]));
    assert_eq!(alone(&mut stages, 1, &first, &table([3, 0, 4, 2, 1])), expected);
}

#[test]
fn a_copied_block_continues_like_its_original() {
    let model = model();
    let ids = prompt(60, 13, 300);
    let mut stages = stages(&model);
    let expected = alone(&mut stages, 1, &ids, &table([7, 9, 12]));
    // A second sequence shares the full block and owns a copy of the half full one.
    let mut step = batch(vec![rows_in(2, 12, &ids[12..], table([7, 11]))]);
    step.copies.push(BlockCopy { from: BlockId(9), to: BlockId(11) });
    step.starts.push(start(2, &ids, watched()));
    let forked = run(&mut stages, &step);
    assert_eq!(forked[0].token, expected[0].token);
    assert_eq!(forked[0].logprobs, expected[0].logprobs);
}

#[test]
fn copies_run_in_order() {
    let model = model();
    let ids = prompt(61, 8, 300);
    let mut stages = stages(&model);
    let mut first = batch(vec![rows_in(1, 0, &ids, table([0, 1]))]);
    first.starts.push(start(1, &ids, watched()));
    run(&mut stages, &first);
    let next = [TokenId(7)];
    let undisturbed = run_next(&mut stages, &ids, &next, table([0, 3]), vec![]);
    let copies =
        [(0, 5), (5, 6)].map(|(from, to)| BlockCopy { from: BlockId(from), to: BlockId(to) });
    let moved = run_next(&mut stages, &ids, &next, table([6, 3]), copies.to_vec());
    assert_eq!(moved[0].logprobs, undisturbed[0].logprobs);
}

fn run_next(
    stages: &mut [Stage],
    ids: &[TokenId],
    next: &[TokenId],
    blocks: Vec<BlockId>,
    copies: Vec<BlockCopy>,
) -> Vec<SampledToken> {
    let known: Vec<_> = ids.iter().chain(next).copied().collect();
    let mut step = batch(vec![rows_in(8, ids.len(), next, blocks)]);
    step.copies = copies;
    step.starts.push(start(8, &known, watched()));
    run(stages, &step)
}

#[test]
fn a_resumed_sequence_goes_on_with_the_same_tokens() {
    let model = model();
    let ids = prompt(70, 18, 300);
    let mut sampling = watched();
    (sampling.temperature, sampling.repetition_penalty) = (1.0, 1.3);
    (sampling.presence_penalty, sampling.frequency_penalty) = (0.4, 0.2);
    let begin = SequenceStart { sampling, ..start(1, &ids, watched()) };
    let mut first = stages(&model);
    let mut step = batch(vec![rows(1, 0, &ids)]);
    step.starts.push(begin.clone());
    let mut answer = run(&mut first, &step);
    for i in 0..7 {
        let next = answer[i].token;
        answer.extend(run(&mut first, &batch(vec![rows(1, ids.len() + i, &[next])])));
    }
    // Another chain, cut elsewhere, gets prompt and the first four ids as one prefill.
    let mut second = chain(&model, &[1, 3], KvType::F16, ActivationType::F32);
    let emitted: Vec<_> = answer[..4].iter().map(|sample| sample.token).collect();
    let known: Vec<_> = ids.iter().chain(&emitted).copied().collect();
    let mut step = batch(vec![rows(1, 0, &known)]);
    step.starts.push(SequenceStart { emitted: emitted.into(), ..begin });
    let mut resumed = run(&mut second, &step);
    for i in 0..3 {
        let next = resumed[i].token;
        resumed.extend(run(&mut second, &batch(vec![rows(1, known.len() + i, &[next])])));
    }
    assert_eq!(resumed, answer[4..8]);
}
