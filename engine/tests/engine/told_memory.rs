//! What a stage holds is told before it is loaded, and is what lies in memory.

use engine::{EngineError, Stage, StageConfig, StageMemory, WeightType};
use protocol::model_spec::{Architecture, AttentionSpec, KvType, LayerRange};
use protocol::plan::{ActivationType, Share};

use crate::golden_logits::fixture;
use crate::random_model::{RandomModel, random_model};
use crate::running::config;
use crate::small_specs::small_spec;

/// Loads `model` as `config` says; its memory and what was read.
fn load(model: &RandomModel, config: &StageConfig) -> Result<(StageMemory, u64), EngineError> {
    let mut read = 0;
    let stage = Stage::load(&model.manifest, model, config, &mut |bytes| read = bytes)?;
    Ok((stage.memory(), read))
}

#[test]
fn of_every_family_and_range_it_is_what_is_held() {
    let families =
        Architecture::ALL.into_iter().flat_map(|family| [(family, false), (family, true)]);
    for (architecture, tied) in families {
        let model = random_model(small_spec(architecture, tied), WeightType::Q6K, 2);
        for (start, end) in [(0, 4), (1, 3), (2, 4)] {
            let config = config(LayerRange::new(start, end), KvType::F16, ActivationType::Bf16);
            let (held, read) = load(&model, &config).expect("the stage loads");
            let told = StageMemory::estimate(&model.manifest, &config);
            let name = format!("{architecture} layers {start}-{end}, tied {tied}");
            let told = told.expect("all tensors are there");
            // Norms that scale nothing have no tensor.
            let near = held.weights.abs_diff(told.weights) < held.weights / 500;
            assert!(near, "{name}: {held:?}, told {told:?}");
            assert_eq!((held.kv, held.workspace), (told.kv, told.workspace), "{name}");
            let stored = model.manifest.stage_bytes(config.layers);
            // Of what every stage needs it reads the columns of its layers.
            if model.manifest.spec.per_layer_width == 0 {
                assert_eq!(read, stored, "{name} reads its own bytes once, and no other");
            } else {
                assert!(read <= stored, "{name} reads {read} of {stored}");
            }
        }
    }
}

#[test]
fn of_every_weight_type_and_share_it_is_what_is_held() {
    let shares = [(0, 1, 1), (0, 1, 2), (1, 1, 2), (0, 1, 6), (1, 3, 6), (4, 2, 6)];
    for weight in WeightType::ALL {
        let mut spec = small_spec(Architecture::Llama, weight == WeightType::Q6K);
        (spec.attention, spec.ffn_size) = (AttentionSpec::grouped(24, 12, 64), 1024);
        let model = random_model(spec, weight, 12);
        for (start, units, of) in shares {
            let share = Share { start, units, of };
            let all = config(LayerRange::new(0, 4), KvType::F16, ActivationType::F32);
            let config = StageConfig { share, ..all };
            let (held, _) = load(&model, &config).expect("the stage loads");
            let told = StageMemory::estimate(&model.manifest, &config);
            assert_eq!(held, told.expect("all tensors are there"), "{weight}, {share:?}");
        }
    }
}

/// Also of those that are not cut into equal parts: delta nets, latent attention, experts.
#[test]
fn of_every_familys_shares_it_is_near_what_is_held() {
    for architecture in Architecture::ALL {
        let model = random_model(small_spec(architecture, false), WeightType::F16, 3);
        for (start, units, of) in [(0, 1, 2), (1, 1, 2), (0, 2, 3), (2, 1, 3)] {
            let share = Share { start, units, of };
            let all = config(LayerRange::new(0, 4), KvType::F16, ActivationType::F32);
            let config = StageConfig { share, ..all };
            let (held, _) = load(&model, &config).expect("the stage loads");
            let told = StageMemory::estimate(&model.manifest, &config).expect("all are there");
            // Biases that another rank adds are zeros here.
            let error = held.weights.abs_diff(told.weights) as f64 / held.weights as f64;
            assert!(error < 0.01, "{architecture} {share:?}: {held:?}, told {told:?}");
            assert_eq!((held.kv, held.workspace), (told.kv, told.workspace), "{architecture}");
        }
    }
}

#[test]
fn of_folders_whose_matrices_lie_in_parts_it_is_what_is_held() {
    for name in ["gpt-oss", "llama-fp8", "qwen2-gptq", "llama-awq"] {
        let checkpoint = checkpoint::open(&fixture(name)).expect("the folder opens");
        let manifest = checkpoint::Manifest::build(&checkpoint, &mut |_, _| {}).expect("built");
        let source = engine::FileSource::open(&checkpoint.files).expect("the files open");
        let config = StageConfig::whole_model(&manifest.spec, 64, KvType::F16);
        let told = StageMemory::estimate(&manifest, &config).expect("all tensors are there");
        let stage = Stage::load(&manifest, &source, &config, &mut |_| {}).expect("it loads");
        assert_eq!(stage.memory(), told, "{name}");
        // What a plan is made with says the same.
        assert_eq!(manifest.spec.stage_weight_bytes(config.layers), told.weights, "{name}");
    }
}
