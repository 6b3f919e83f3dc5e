//! Ranks that share the layers out among them compute what one rank computes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use checkpoint::{Manifest, WeightType};
use engine::collective::in_process_group;
use engine::{
    Compute, EngineError, FileSource, Place, Stage, StageConfig, StageInput, WeightSource,
};
use protocol::ids::{BlockId, TokenId};
use protocol::model_spec::{Architecture, AttentionSpec, KvType};
use protocol::plan::{ActivationType, Share};
use protocol::step_batch::StepBatch;

use crate::golden_logits::{FIXTURES, fixture};
use crate::quantised_logits::relative_error;
use crate::random_model::random_model;
use crate::running::{batch, config, prompt, rows_in};
use crate::small_specs::small_spec;

const PATIENCE: Duration = Duration::from_secs(60);
/// Even and uneven, by the units of each rank.
pub(crate) const GROUPS: [&[u32]; 4] = [&[1, 1], &[2, 1], &[3, 2, 1], &[1, 1, 1, 1]];

fn shares(units: &[u32]) -> Vec<Share> {
    let of = units.iter().sum();
    let mut start = 0;
    let share = |&units: &u32| {
        let share = Share { start, units, of };
        start += units;
        share
    };
    units.iter().map(share).collect()
}

/// The logits of every row of `steps`, computed by the ranks of `units` in threads of their own.
fn logits(
    manifest: &Manifest,
    source: &dyn WeightSource,
    config: &StageConfig,
    units: &[u32],
    steps: &[StepBatch],
) -> Vec<Vec<f32>> {
    let compute = || Place::Cpu(Arc::new(Compute::new(Compute::of_process().set(), 1, || {})));
    logits_at(&compute, manifest, source, config, units, steps)
}

/// As `logits`, each rank at a place of its own.
pub(crate) fn logits_at(
    place: &(dyn Fn() -> Place + Sync),
    manifest: &Manifest,
    source: &dyn WeightSource,
    config: &StageConfig,
    units: &[u32],
    steps: &[StepBatch],
) -> Vec<Vec<f32>> {
    let ranks = in_process_group(units.len(), PATIENCE).into_iter().zip(shares(units));
    let mut answers: Vec<_> = std::thread::scope(|scope| {
        let run = |(group, share)| {
            scope.spawn(move || {
                let config = StageConfig { share, ..*config };
                let stage = Stage::load_at(&place(), manifest, source, &config, &mut |_| {});
                let mut stage = stage.expect("the rank loads");
                stage.join(Box::new(group));
                let step = |step| stage.logits(step, StageInput::Tokens).expect("the step runs");
                steps.iter().flat_map(step).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = ranks.map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(answers[1..].iter().all(Vec::is_empty), "the first rank alone samples");
    answers.swap_remove(0)
}

/// Half a percent of a product is lost to inputs of eight bits. Sums in another order round some
/// of them the other way, which the next layers' rounding does not forget.
pub(crate) fn near(name: &str, found: &[Vec<f32>], expected: &[Vec<f32>]) {
    let relative = relative_error(&found.concat(), &expected.concat());
    assert!(relative <= 0.02, "{name}: relative difference {relative}");
}

pub(crate) fn compare(name: &str, found: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        let largest = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
        let error = differences.fold(0.0, f32::max) / largest;
        assert!(error <= 1e-3, "{name} row {row}: relative error {error:e}");
        let mut order: Vec<_> = (0..expected.len()).collect();
        order.sort_by(|a, b| expected[*b].total_cmp(&expected[*a]));
        if expected[order[0]] - expected[order[1]] > 1e-3 * largest {
            let best = (0..found.len()).max_by(|a, b| found[*a].total_cmp(&found[*b]));
            assert_eq!(best, Some(order[0]), "{name} row {row}");
        }
    }
}

/// A prompt in two chunks, then one token: all rows ask for their logits.
pub(crate) fn steps(ids: &[TokenId]) -> Vec<StepBatch> {
    let table: Vec<_> = (0..8).map(BlockId).collect();
    let row = |i: usize| rows_in(0, i, &ids[i..=i], table.clone());
    let cuts = [0, ids.len() / 2, ids.len() - 1, ids.len()];
    cuts.windows(2).map(|cut| batch((cut[0]..cut[1]).map(row).collect())).collect()
}

#[test]
fn every_golden_family_answers_alike_over_two_three_and_four_ranks() {
    for (name, _) in FIXTURES {
        let name = if name == "gpt-oss" { "gpt-oss.gguf" } else { name };
        let checkpoint = checkpoint::open(&fixture(name)).expect("the fixture opens");
        let manifest = Manifest::build(&checkpoint, &mut |_, _| {}).expect("the manifest builds");
        let source = FileSource::open(&checkpoint.files).expect("the files open");
        let config = StageConfig::whole_model(&manifest.spec, 128, KvType::F32);
        let steps = steps(&prompt(4, 23, manifest.spec.vocab_size));
        let whole = logits(&manifest, &source, &config, &[1], &steps);
        for units in GROUPS {
            let shared = logits(&manifest, &source, &config, units, &steps);
            compare(&format!("{name} {units:?}"), &shared, &whole);
        }
    }
}

#[test]
fn every_weight_type_is_cut_between_blocks() {
    for weight in WeightType::ALL {
        let mut spec = small_spec(Architecture::Llama, weight == WeightType::Q6K);
        (spec.attention, spec.ffn_size) = (AttentionSpec::grouped(24, 12, 64), 1024);
        let model = random_model(spec, weight, 12);
        let config = config(model.manifest.spec.all_layers(), KvType::F16, ActivationType::F32);
        let steps = steps(&prompt(5, 12, 300));
        let whole = logits(&model.manifest, &model, &config, &[1], &steps);
        for units in GROUPS {
            let shared = logits(&model.manifest, &model, &config, units, &steps);
            let name = format!("{weight} {units:?}");
            if weight.is_quantised() {
                near(&name, &shared, &whole);
            } else {
                compare(&name, &shared, &whole);
            }
        }
    }
}

/// Notes every byte that is read.
struct Watched<'a> {
    source: &'a dyn WeightSource,
    read: Mutex<BTreeSet<(u64, u64)>>,
}

impl WeightSource for Watched<'_> {
    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let range = (offset, offset + buffer.len() as u64);
        assert!(self.read.lock().expect("no panic").insert(range), "{range:?} was read twice");
        self.source.read_at(file, offset, buffer)
    }
}

#[test]
fn ranks_read_their_own_parts_and_together_everything_that_is_cut_once() {
    let mut spec = small_spec(Architecture::Llama, false);
    (spec.attention, spec.ffn_size) = (AttentionSpec::grouped(24, 12, 64), 1024);
    let model = random_model(spec, WeightType::Q4K, 13);
    let tensors = &model.manifest.tensors;
    let cut = |name: &str| !name.contains("norm") && name != "token_embd.weight";
    let mut read_bytes = 0;
    for share in shares(&[3, 2, 1]) {
        let source = Watched { source: &model, read: Mutex::default() };
        let config = config(model.manifest.spec.all_layers(), KvType::F16, ActivationType::F32);
        let config = StageConfig { share, ..config };
        let stage = Stage::load(&model.manifest, &source, &config, &mut |_| {}).expect("loads");
        let read = source.read.into_inner().expect("no panic");
        let whole: u64 = tensors.iter().map(|t| t.bytes).sum();
        let bytes: u64 = read.iter().map(|(start, end)| end - start).sum();
        assert!(bytes < whole * 2 / 3, "a share of {share:?} read {bytes} of {whole} bytes");
        let of = |tensor: &&checkpoint::TensorEntry, start: u64| {
            (tensor.offset..tensor.offset + tensor.bytes).contains(&start)
        };
        let tensor = |start: u64| tensors.iter().find(|t| of(t, start)).expect("a tensor");
        let of_cut = read.iter().filter(|(start, _)| cut(&tensor(*start).name));
        read_bytes += of_cut.map(|(start, end)| end - start).sum::<u64>();
        assert!(stage.memory().weights < whole);
    }
    let expected: u64 = tensors.iter().filter(|t| cut(&t.name)).map(|t| t.bytes).sum();
    assert_eq!(read_bytes, expected);
}

#[test]
fn a_share_without_its_group_or_of_nothing_is_an_error() {
    let model = random_model(small_spec(Architecture::Llama, false), WeightType::F16, 14);
    let config = config(model.manifest.spec.all_layers(), KvType::F16, ActivationType::F32);
    let load =
        |share| Stage::load(&model.manifest, &model, &StageConfig { share, ..config }, &mut |_| {});
    let mut stage = load(Share { start: 0, units: 1, of: 2 }).expect("loads");
    let step = &steps(&prompt(5, 12, 300))[0];
    let error = stage.logits(step, StageInput::Tokens).expect_err("no group");
    assert!(matches!(error, EngineError::Group(_)), "{error}");
    for (start, units, of) in [(0, 0, 2), (1, 2, 2), (u32::MAX, 2, 4), (0, 0, 0)] {
        let error = load(Share { start, units, of }).err().expect("no such share");
        assert!(matches!(error, EngineError::BadShare(_)), "{error}");
    }
}
