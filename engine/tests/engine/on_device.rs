//! Layers on a device of candle's: the first GPU where there is one, else candle's CPU device.

use checkpoint::{Manifest, WeightType};
use engine::{Device, EngineError, FileSource, Place, Stage, StageConfig, StageInput, StageMemory};
use protocol::ids::{BlockId, TokenId};
use protocol::model_spec::{Architecture, AttentionSpec, KvType};
use protocol::plan::{ActivationType, Share};
use protocol::step_batch::BlockCopy;

use crate::golden_logits::{FIXTURES, check_at, check_logits_at, fixture};
use crate::quantised_folders::check_folders;
use crate::quantised_logits::{relative_error, widened};
use crate::random_model::{RandomModel, random_model};
use crate::running::{BLOCK_SIZE, batch, chain, config, prompt, rows_in};
use crate::small_specs::small_spec;
use crate::tensor_shares::{GROUPS, compare, logits_at, near, steps};

/// Where layers are tested: candle's operations on its CPU device, and our kernels, on a GPU where
/// there is one and else in the emulator.
#[allow(clippy::print_stdout, reason = "a skipped GPU must be seen")]
pub(crate) fn devices() -> Vec<(&'static str, Device)> {
    let mut devices = vec![("candle's CPU device", Device::candle_cpu())];
    #[cfg(feature = "cuda")]
    match Device::cuda(0) {
        Ok(device) => devices.push(("CUDA", device)),
        Err(error) => println!("SKIPPED on CUDA: {error}"),
    }
    #[cfg(not(feature = "cuda"))]
    println!("SKIPPED on CUDA: built without it");
    match Device::emulated() {
        Some(device) => devices.push(("emulated kernels", device)),
        None => println!("SKIPPED in the emulator: this build has none"),
    }
    devices
}

fn load(device: &Device, model: &RandomModel, config: &StageConfig) -> Result<Stage, EngineError> {
    let place = Place::Device(device.clone());
    Stage::load_at(&place, &model.manifest, model, config, &mut |_| {})
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
        check_at(&Place::Device(Device::candle_cpu()), name, name);
    }
}

#[test]
fn logits_of_every_family_are_those_of_the_reference_by_kernels() {
    for (_, device) in devices().drain(1..) {
        for (name, _) in FIXTURES {
            check_logits_at(&Place::Device(device.clone()), name);
        }
    }
}

#[test]
fn every_weight_type_gives_nearly_the_logits_of_its_values_on_a_device() {
    for weight in WeightType::ALL {
        let model = random_model(small_spec(Architecture::Llama, false), weight, 31);
        let ids = prompt(8, 24, 300);
        let exact = widened(&model);
        let mut reference = chain(&exact, &[], KvType::F32, ActivationType::F32).remove(0);
        let expected = logits(&mut reference, &ids, 24);
        for (name, device) in devices() {
            let mut stage = load(&device, &model, &whole(&model, KvType::F32)).expect("loads");
            let error = relative_error(&logits(&mut stage, &ids, 24), &expected);
            assert!(error <= 0.02, "{weight} on {name}: relative error {error}");
        }
    }
}

#[test]
fn chunks_and_copied_blocks_give_nearly_the_same_logits_on_a_device() {
    for (name, device) in devices() {
        let mut kv_types =
            [KvType::F16, KvType::Bf16, KvType::F32, KvType::Q8_0].into_iter().cycle();
        for architecture in Architecture::ALL {
            let model = random_model(small_spec(architecture, false), WeightType::F16, 33);
            let ids = prompt(9, 2 * BLOCK_SIZE as usize, 300);
            let kv = kv_types.next().expect("endless");
            let mut stage = load(&device, &model, &whole(&model, kv)).expect("loads");
            let once = logits(&mut stage, &ids, ids.len());
            let error = relative_error(&logits(&mut stage, &ids, 5), &once);
            assert!(error <= 1e-3, "{architecture} {kv:?} on {name}: {error}");
        }
        let model = random_model(small_spec(Architecture::Llama, false), WeightType::F16, 34);
        for kv in [KvType::F16, KvType::Q8_0] {
            let mut stage = load(&device, &model, &whole(&model, kv)).expect("loads");
            let ids = prompt(10, BLOCK_SIZE as usize, 300);
            logits(&mut stage, &ids, ids.len());
            let table = |block| vec![BlockId(block), BlockId(1)];
            let next = |block| rows_in(0, ids.len(), &[TokenId(7)], table(block));
            let original = stage.logits(&batch(vec![next(0)]), StageInput::Tokens).expect("runs");
            let mut step = batch(vec![next(9)]);
            step.copies.push(BlockCopy { from: BlockId(0), to: BlockId(9) });
            assert_eq!(stage.logits(&step, StageInput::Tokens).expect("runs"), original, "{name}");
        }
    }
}

#[test]
fn quantised_folders_give_the_logits_of_their_values_on_a_device() {
    for (_, device) in devices() {
        check_folders(&Place::Device(device));
    }
}

#[test]
fn places_that_are_none_are_refused_by_name() {
    for name in ["gpu", "cuda:x", ""] {
        let error = Place::named(name).err().expect("no such place");
        assert!(matches!(error, EngineError::BadPlace { .. }), "{error}");
    }
}

/// Logits of `ids` as sequence 0 of batches that `beside` adds rows to, in chunks.
fn logits_beside(
    stage: &mut Stage,
    ids: &[TokenId],
    chunk: usize,
    beside: Option<&[TokenId]>,
) -> Vec<f32> {
    let mut last = Vec::new();
    for (i, tokens) in ids.chunks(chunk).enumerate() {
        let mut sets = vec![rows_in(0, i * chunk, tokens, table())];
        if let Some(beside) = beside {
            let tables = |id: u32| (8 * id..8 * id + 8).map(BlockId).collect();
            sets.insert(0, rows_in(1, 0, beside, tables(1)));
            sets.push(rows_in(2, 0, &beside[..1], tables(2)));
        }
        let own = usize::from(beside.is_some());
        let mut rows = stage.logits(&batch(sets), StageInput::Tokens).expect("the step runs");
        last = rows.swap_remove(own);
    }
    last
}

#[test]
fn a_row_yields_the_same_bits_in_any_batch_on_a_deterministic_device() {
    // Plain operations multiply scores in shapes that depend on the batch.
    for (name, device) in devices().drain(1..) {
        let device = device.deterministic();
        for architecture in [
            Architecture::Llama,
            Architecture::Gemma2,
            Architecture::Mixtral,
            Architecture::GptOss,
            Architecture::DeepseekV3,
        ] {
            let model = random_model(small_spec(architecture, false), WeightType::Q8_0, 41);
            let (ids, beside) = (prompt(12, 20, 300), prompt(13, 5, 300));
            let mut stage = load(&device, &model, &whole(&model, KvType::F16)).expect("loads");
            let alone = logits_beside(&mut stage, &ids, ids.len(), None);
            for (chunk, beside) in [(7, None), (20, Some(&beside[..]))] {
                let found = logits_beside(&mut stage, &ids, chunk, beside);
                let same = found.iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{architecture} on {name}, {chunk} rows, {}", beside.is_some());
            }
        }
    }
}

#[test]
fn every_golden_family_answers_alike_over_ranks_on_devices() {
    let config_of =
        |manifest: &Manifest| StageConfig::whole_model(&manifest.spec, 128, KvType::F32);
    let place = || Place::Device(Device::candle_cpu());
    for (name, _) in FIXTURES {
        let name = if name == "gpt-oss" { "gpt-oss.gguf" } else { name };
        let checkpoint = checkpoint::open(&fixture(name)).expect("the fixture opens");
        let manifest = Manifest::build(&checkpoint, &mut |_, _| {}).expect("the manifest builds");
        let source = FileSource::open(&checkpoint.files).expect("the files open");
        let (config, steps) =
            (config_of(&manifest), steps(&prompt(4, 9, manifest.spec.vocab_size)));
        let run = |units: &[u32]| logits_at(&place, &manifest, &source, &config, units, &steps);
        let whole = run(&[1]);
        for units in GROUPS {
            compare(&format!("{name} {units:?}"), &run(units), &whole);
        }
    }
}

#[test]
fn ranks_by_kernels_answer_as_one_does() {
    for (name, device) in devices().drain(1..) {
        let place = || Place::Device(device.clone());
        for architecture in [Architecture::Gemma2, Architecture::GptOss, Architecture::DeepseekV3] {
            let model = random_model(small_spec(architecture, false), WeightType::F16, 51);
            let (config, steps) = (whole(&model, KvType::Q8_0), steps(&prompt(5, 9, 300)));
            let run =
                |units: &[u32]| logits_at(&place, &model.manifest, &model, &config, units, &steps);
            near(&format!("{architecture} on {name}"), &run(&[2, 1]), &run(&[1]));
        }
    }
}

#[test]
fn what_lies_on_a_device_is_told_before() {
    for (name, device) in devices() {
        let place = Place::Device(device.clone());
        for weight in WeightType::ALL {
            let mut spec = small_spec(Architecture::Llama, weight == WeightType::Q6K);
            (spec.attention, spec.ffn_size) = (AttentionSpec::grouped(24, 12, 64), 1024);
            let model = random_model(spec, weight, 12);
            for (start, units, of) in [(0, 1, 1), (0, 1, 2), (1, 3, 6)] {
                let share = Share { start, units, of };
                let config = StageConfig { share, ..whole(&model, KvType::Q8_0) };
                let held = load(&device, &model, &config).expect("loads").memory();
                let told = StageMemory::estimate_at(&place, &model.manifest, &config);
                assert_eq!(held, told.expect("told"), "{weight}, {share:?} on {name}");
            }
        }
        for architecture in Architecture::ALL {
            for tied in [false, true] {
                let model = random_model(small_spec(architecture, tied), WeightType::Q8_0, 13);
                let config = whole(&model, KvType::F16);
                let held = load(&device, &model, &config).expect("loads").memory();
                let told = StageMemory::estimate_at(&place, &model.manifest, &config);
                let told = told.expect("told");
                // A few vectors stay on the host, norms that scale nothing have no tensor.
                let error = held.weights.abs_diff(told.weights) as f64 / held.weights as f64;
                assert!(error < 0.01, "{architecture} {tied} on {name}: {held:?}, told {told:?}");
                assert_eq!(held.kv, told.kv, "{architecture} on {name}");
            }
        }
    }
}

#[test]
fn a_step_takes_no_more_than_was_told() {
    for (name, device) in devices() {
        for architecture in Architecture::ALL {
            let model = random_model(small_spec(architecture, false), WeightType::F16, 14);
            let config = whole(&model, KvType::F16);
            let mut stage = load(&device, &model, &config).expect("loads");
            let ids = prompt(10, config.kv.step_tokens_max.min(64) as usize, 300);
            let step = batch(vec![rows_in(0, 0, &ids, table())]);
            let taken = allocation_counter::measure(|| {
                stage.logits(&step, StageInput::Tokens).expect("the step runs");
            });
            let told = stage.memory().workspace;
            assert!(
                taken.bytes_max <= told,
                "{architecture} on {name}: {} of {told}",
                taken.bytes_max
            );
        }
    }
}
