//! A batch from a confused or hostile peer is refused by name, and the stage goes on.

use checkpoint::WeightType;
use engine::{EngineError, Stage, StageConfig, StageInput, StageMemory, StageOutput};
use protocol::ids::{BlockId, SequenceId, TokenId};
use protocol::model_spec::{Architecture, KvType, LayerRange, StateKind};
use protocol::plan::{ActivationType, Share};
use protocol::sampling_params::SamplingParams;
use protocol::step_batch::{BlockCopy, Sample, StepBatch, TokenMask};

use crate::random_model::{RandomModel, random_model};
use crate::running::{batch, chain, config, prompt, rows, run, start};
use crate::small_specs::small_spec;

fn model() -> RandomModel {
    random_model(small_spec(Architecture::Llama, false), WeightType::F32, 21)
}

fn whole(model: &RandomModel) -> Stage {
    chain(model, &[], KvType::F16, ActivationType::F32).remove(0)
}

fn started(id: u32, ids: &[TokenId]) -> StepBatch {
    let mut step = batch(vec![rows(id, 0, ids)]);
    step.starts.push(start(id, ids, SamplingParams::default()));
    step
}

fn refusal(stage: &mut Stage, batch: &StepBatch) -> EngineError {
    stage.forward(batch, StageInput::Tokens).expect_err("must be refused")
}

#[test]
fn indices_out_of_range_are_refused_by_name() {
    let model = model();
    let mut stage = whole(&model);
    let ids = prompt(1, 4, 300);
    let mut step = started(1, &[TokenId(300)]);
    assert!(matches!(
        refusal(&mut stage, &step),
        EngineError::BadToken { token: TokenId(300), .. }
    ));
    step = started(1, &ids);
    step.rows[0].block_tables[0][0] = BlockId(160);
    assert!(matches!(
        refusal(&mut stage, &step),
        EngineError::BadBlock { block: BlockId(160), .. }
    ));
    step = started(1, &ids);
    step.rows[0].block_tables[0].clear();
    let error = refusal(&mut stage, &step);
    assert!(matches!(error, EngineError::PositionOutOfRange { end: 4, limit: 0, .. }), "{error}");
    step.rows[0] = rows(1, u32::MAX as usize, &ids);
    assert!(matches!(refusal(&mut stage, &step), EngineError::PositionOutOfRange { .. }));
    step.rows[0].block_tables.clear();
    assert!(matches!(refusal(&mut stage, &step), EngineError::BadBlockTables { found: 0, .. }));
    step = started(1, &ids);
    step.copies.push(BlockCopy { from: BlockId(0), to: BlockId(999) });
    assert!(matches!(refusal(&mut stage, &step), EngineError::BadBlock { .. }));
    step = started(1, &ids);
    step.rows[0].tokens.clear();
    assert!(matches!(refusal(&mut stage, &step), EngineError::NoTokens { .. }));
    assert_eq!(run(std::slice::from_mut(&mut stage), &started(1, &ids)).len(), 1);
}

#[test]
fn more_rows_than_planned_are_refused() {
    let model = model();
    let mut stage = whole(&model);
    let all = (0..3).map(|id| rows(id, 0, &prompt(1, 100, 300))).collect();
    let error = refusal(&mut stage, &batch(all));
    assert!(matches!(error, EngineError::TooManyRows { found: 300, limit: 256 }), "{error}");
}

#[test]
fn sampling_needs_a_sequence_and_its_tokens() {
    let model = model();
    let mut stage = whole(&model);
    let ids = prompt(1, 4, 300);
    let error = refusal(&mut stage, &batch(vec![rows(5, 0, &ids)]));
    assert!(matches!(error, EngineError::UnknownSequence { sequence: SequenceId(5) }), "{error}");
    let stages = std::slice::from_mut(&mut stage);
    run(stages, &started(5, &ids));
    // Position 5 is known after the first sample, position 6 is not.
    run(stages, &batch(vec![rows(5, 4, &ids[..1])]));
    let error = refusal(&mut stage, &batch(vec![rows(5, 6, &ids[..1])]));
    assert!(matches!(error, EngineError::UnknownTokens { position: 7, known: 6, .. }), "{error}");
    let mut step = batch(vec![rows(5, 5, &ids[..1])]);
    step.ends.push(SequenceId(5));
    assert!(matches!(refusal(&mut stage, &step), EngineError::UnknownSequence { .. }));
}

#[test]
fn masks_must_cover_the_vocabulary_and_leave_something() {
    let model = model();
    let mut stage = whole(&model);
    let mut step = started(1, &prompt(1, 4, 300));
    let mask = |words| Sample::Yes { allowed: Some(TokenMask { words }) };
    step.rows[0].sample = mask(vec![1; 9]);
    let error = refusal(&mut stage, &step);
    assert!(matches!(error, EngineError::BadMask { found: 9, expected: 10, .. }), "{error}");
    step.rows[0].sample = mask(vec![0; 10]);
    let error = refusal(&mut stage, &step);
    assert!(matches!(error, EngineError::NothingAllowed { position: 4, .. }), "{error}");
}

#[test]
fn activations_of_another_length_or_at_the_wrong_stage_are_refused() {
    let model = model();
    let mut stages = chain(&model, &[2], KvType::F16, ActivationType::F32);
    let step = started(1, &prompt(1, 4, 300));
    let error = stages[1].forward(&step, StageInput::Activations(&[0; 100])).expect_err("short");
    assert!(matches!(error, EngineError::BadActivations { found: 100, expected: 4096 }), "{error}");
    let error = stages[1].forward(&step, StageInput::Tokens).expect_err("no embedding here");
    assert!(matches!(error, EngineError::WrongInput { .. }), "{error}");
    assert!(stages[0].forward(&step, StageInput::Activations(&[0; 4096])).is_err());
}

#[test]
fn numbers_that_are_none_end_in_an_error_in_every_weight_type() {
    for weight in WeightType::ALL {
        let model = random_model(small_spec(Architecture::Llama, false), weight, 21);
        let mut stages = chain(&model, &[2], KvType::F16, ActivationType::F32);
        let step = started(1, &prompt(1, 1, 300));
        let poison: Vec<u8> = std::iter::repeat_n(f32::NAN.to_le_bytes(), 256).flatten().collect();
        let error = stages[1].forward(&step, StageInput::Activations(&poison));
        let error = error.expect_err("logits are not numbers");
        assert!(matches!(error, EngineError::NotFinite { position: 1, .. }), "{weight}: {error}");
    }
}

#[test]
fn a_model_that_lacks_or_misshapes_a_tensor_is_refused_by_its_name() {
    let mut model = model();
    let config = config(LayerRange::new(0, 4), KvType::F16, ActivationType::F32);
    let load = |model: &RandomModel, config: &StageConfig| {
        Stage::load(&model.manifest, model, config, &mut |_| {}).map(|_| ()).expect_err("refused")
    };
    model.manifest.tensors[3].shape = vec![64, 512];
    let error = load(&model, &config);
    assert!(error.to_string().starts_with("tensor `blk.0.attn_k.weight` has shape [64, 512]"));
    let gone = model.manifest.tensors.remove(5).name;
    model.manifest.tensors[3].shape = vec![128, 256];
    let error = load(&model, &config);
    assert_eq!(error.to_string(), format!("tensor `{gone}` is missing"));
    let share = Share { start: 1, units: 2, of: 2 };
    let error = load(&model, &StageConfig { share, ..config });
    assert!(matches!(error, EngineError::BadShare(_)), "{error}");
    let layers = LayerRange::new(2, 5);
    let error = load(&model, &StageConfig { layers, ..config });
    assert!(matches!(error, EngineError::BadLayerRange { layers: 4, .. }), "{error}");
    model.manifest.spec.layers[1].state = StateKind::Recurrent { bytes: 64 };
    assert!(matches!(load(&model, &config), EngineError::UnsupportedState { .. }));
}

#[test]
fn a_truncated_file_is_refused_with_the_tensor_that_ends_early() {
    let mut model = model();
    model.file.truncate(model.file.len() / 2);
    let config = config(LayerRange::new(0, 4), KvType::F16, ActivationType::F32);
    let error = Stage::load(&model.manifest, &model, &config, &mut |_| {}).map(|_| ());
    let error = error.expect_err("truncated");
    assert!(
        matches!(&error, EngineError::Read { name, .. } if name.starts_with("blk.")),
        "{error}"
    );
}

#[test]
fn an_estimate_for_an_impossible_plan_is_a_number() {
    let model = model();
    let mut config = config(LayerRange::new(3, 9), KvType::F16, ActivationType::F32);
    config.kv.step_tokens_max = u32::MAX;
    config.kv.context_length = u32::MAX;
    (config.kv.blocks, config.kv.block_size) = (u32::MAX, u32::MAX);
    assert!(StageMemory::estimate(&model.manifest, &config).expect("a number").total() > 1 << 60);
    let refused = Stage::load(&model.manifest, &model, &config, &mut |_| {});
    assert!(matches!(refused, Err(EngineError::BadLayerRange { .. })));
    config.layers = LayerRange::new(3, 4);
    assert!(Stage::load(&model.manifest, &model, &config, &mut |_| {}).is_err());
}

#[test]
fn a_stage_without_rows_still_ends_and_starts_sequences() {
    let model = model();
    let mut stages = chain(&model, &[2], KvType::F16, ActivationType::F32);
    let mut step = batch(Vec::new());
    step.starts.push(start(1, &prompt(1, 4, 300), SamplingParams::default()));
    let output = stages[0].forward(&step, StageInput::Tokens).expect("nothing to do");
    assert!(matches!(output, StageOutput::Activations(&[])));
    assert!(run(&mut stages, &step).is_empty());
}
