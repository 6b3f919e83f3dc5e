//! Layers on a device of candle's: the first GPU where there is one, else candle's CPU device.

use checkpoint::WeightType;
use engine::{Device, EngineError, Place, Stage, StageConfig, StageInput};
use protocol::ids::{BlockId, TokenId};
use protocol::model_spec::{Architecture, KvType};
use protocol::plan::{ActivationType, Share};
use protocol::step_batch::BlockCopy;

use crate::golden_logits::{FIXTURES, check_at};
use crate::quantised_logits::{relative_error, widened};
use crate::random_model::{RandomModel, random_model};
use crate::running::{BLOCK_SIZE, batch, chain, config, prompt, rows_in};
use crate::small_specs::small_spec;

#[allow(clippy::print_stdout, reason = "a skipped GPU must be seen")]
fn place() -> Place {
    #[cfg(feature = "cuda")]
    match Device::cuda(0) {
        Ok(device) => return Place::Device(device),
        Err(error) => println!("SKIPPED on CUDA, run on candle's CPU device: {error}"),
    }
    #[cfg(not(feature = "cuda"))]
    println!("SKIPPED on CUDA: built without it; run on candle's CPU device");
    Place::Device(Device::candle_cpu())
}

fn load(model: &RandomModel, config: &StageConfig) -> Result<Stage, EngineError> {
    Stage::load_at(&place(), &model.manifest, model, config, &mut |_| {})
}

fn whole(model: &RandomModel, kv: KvType) -> StageConfig {
    config(model.manifest.spec.all_layers(), kv, ActivationType::F32)
}

fn table() -> Vec<BlockId> {
    (0..8).map(BlockId).collect()
}

/// Logits of the whole prompt's last rows, in chunks.
fn logits(stage: &mut Stage, ids: &[TokenId], chunk: usize) -> Vec<f32> {
    let chunks = ids.chunks(chunk).enumerate();
    let step = |(i, ids)| batch(vec![rows_in(0, i * chunk, ids, table())]);
    let rows = chunks.map(step).map(|step| stage.logits(&step, StageInput::Tokens));
    rows.last().expect("a chunk").expect("the step runs").concat()
}

#[test]
fn logits_of_every_family_are_those_of_the_reference_on_a_device() {
    for (name, _) in FIXTURES {
        check_at(&place(), name, name);
    }
}

#[test]
fn every_weight_type_gives_nearly_the_logits_of_its_values_on_a_device() {
    for weight in WeightType::ALL {
        let model = random_model(small_spec(Architecture::Llama, false), weight, 31);
        let ids = prompt(8, 24, 300);
        let mut stage = load(&model, &whole(&model, KvType::F32)).expect("loads");
        let exact = widened(&model);
        let mut reference = chain(&exact, &[], KvType::F32, ActivationType::F32).remove(0);
        let error =
            relative_error(&logits(&mut stage, &ids, 24), &logits(&mut reference, &ids, 24));
        assert!(error <= 0.02, "{weight}: relative error {error}");
    }
}

#[test]
fn chunks_and_copied_blocks_give_nearly_the_same_logits_on_a_device() {
    for architecture in Architecture::ALL {
        let model = random_model(small_spec(architecture, false), WeightType::F16, 33);
        let ids = prompt(9, 2 * BLOCK_SIZE as usize, 300);
        for kv in [KvType::F16, KvType::Bf16, KvType::F32] {
            let mut stage = load(&model, &whole(&model, kv)).expect("loads");
            let once = logits(&mut stage, &ids, ids.len());
            let error = relative_error(&logits(&mut stage, &ids, 5), &once);
            assert!(error <= 1e-3, "{architecture} {kv:?}: {error}");
        }
    }
    let model = random_model(small_spec(Architecture::Llama, false), WeightType::F16, 34);
    let mut stage = load(&model, &whole(&model, KvType::F16)).expect("loads");
    let ids = prompt(10, BLOCK_SIZE as usize, 300);
    logits(&mut stage, &ids, ids.len());
    let next = |block| rows_in(0, ids.len(), &[TokenId(7)], vec![BlockId(block), BlockId(1)]);
    let original = stage.logits(&batch(vec![next(0)]), StageInput::Tokens).expect("runs");
    let mut step = batch(vec![next(9)]);
    step.copies.push(BlockCopy { from: BlockId(0), to: BlockId(9) });
    assert_eq!(stage.logits(&step, StageInput::Tokens).expect("runs"), original);
}

#[test]
fn what_a_device_cannot_do_yet_is_refused_by_name() {
    let model = random_model(small_spec(Architecture::Llama, false), WeightType::F16, 35);
    let share = Share { start: 0, units: 1, of: 2 };
    let shared = StageConfig { share, ..whole(&model, KvType::F16) };
    for config in [shared, whole(&model, KvType::Q8_0)] {
        let error = load(&model, &config).err().expect("refused");
        assert!(matches!(error, EngineError::NotOnDevice { .. }), "{error}");
    }
    for name in ["gpu", "cuda:x", ""] {
        let error = Place::named(name).err().expect("no such place");
        assert!(matches!(error, EngineError::BadPlace { .. }), "{error}");
    }
}
