//! Every kernel against its plain version, on a GPU where there is one and in the emulator.

use candle_core::{Device, Tensor};
use protocol::ids::{BlockId, SequenceId};
use protocol::model_spec::{Activation, KvType, ModelSpec, RopeLayout, RopeSpec};
use protocol::step_batch::{Sample, SequenceRows, StepBatch};

use super::activation::activate;
use super::candidates;
use super::norm::RmsNorm;
use super::pages::Pages;
use super::scores::PagedAttention;
use super::step::Step;
use super::target::Target;
use crate::config::StageConfig;
use crate::layers::Rope;
use protocol::ids::TokenId;
use protocol::model_spec::{Architecture, AttentionSpec, LayerSpec, StateKind};

/// Where kernels run; what is missing is said.
#[allow(clippy::print_stdout, reason = "a skipped GPU must be seen")]
fn targets() -> Vec<(&'static str, Target)> {
    let mut targets = Vec::new();
    #[cfg(feature = "cuda")]
    match super::cuda::open(0) {
        Ok(target) => targets.push(("CUDA", target)),
        Err(error) => println!("SKIPPED on CUDA: {error}"),
    }
    #[cfg(not(feature = "cuda"))]
    println!("SKIPPED on CUDA: built without it");
    match Target::emulated() {
        Some(target) => targets.push(("the emulator", target)),
        None => println!("SKIPPED in the emulator: this build has none"),
    }
    targets
}

fn plain() -> Target {
    Target::plain(Device::Cpu)
}

/// Numbers around zero that differ by seed.
fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 4.0 - 2.0
    };
    (0..count).map(|_| next()).collect()
}

fn tensor(target: &Target, seed: u32, shape: &[usize]) -> Tensor {
    let values = numbers(seed, shape.iter().product());
    Tensor::from_vec(values, shape, &target.device).expect("a tensor")
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).expect("f32")
}

fn assert_near(name: &str, found: &Tensor, expected: &Tensor, tolerance: f32) {
    assert_eq!(found.dims(), expected.dims(), "{name}");
    let (found, expected) = (values(found), values(expected));
    let largest = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let near = (found - expected).abs() <= tolerance * largest;
        assert!(near, "{name} at {i}: {found} instead of {expected} (largest {largest})");
    }
}

#[test]
fn norms_are_those_of_plain_operations() {
    let spec = ModelSpec { norm_epsilon: 1e-5, ..ModelSpec::plain(Architecture::Llama) };
    let norm = |target: &Target, width: usize| {
        let norm = RmsNorm::plain(target, width, &spec).expect("a norm");
        norm.times(0.7).expect("a factor")
    };
    for (name, target) in targets() {
        for (rows, width) in [(1, 32), (3, 64), (5, 96), (2, 257), (4, 5120)] {
            let shape = [rows, width];
            let all = |target: &Target| {
                let (x, y) = (tensor(target, 1, &shape), tensor(target, 2, &shape));
                let norm = norm(target, width);
                let (sum, normed) = norm.forward_sum(&x, &y).expect("runs");
                let added = norm.add_to(&x, &y).expect("runs");
                [norm.forward(&x).expect("runs"), sum, normed, added]
            };
            for (i, (found, expected)) in all(&target).iter().zip(all(&plain())).enumerate() {
                let name = format!("{name}: norm {i} of {rows} x {width}");
                assert_near(&name, found, &expected, 1e-6);
            }
        }
    }
}

#[test]
fn a_number_that_is_none_stays_in_its_own_row_of_a_norm() {
    let spec = ModelSpec { norm_epsilon: 1e-5, ..ModelSpec::plain(Architecture::Llama) };
    for (name, target) in targets() {
        let mut x = numbers(5, 3 * 64);
        x[70] = f32::NAN;
        let x = Tensor::from_vec(x, (3, 64), &target.device).expect("a tensor");
        let norm = RmsNorm::plain(&target, 64, &spec).expect("a norm");
        let normed = values(&norm.forward(&x).expect("runs"));
        let row = |row: usize| normed[row * 64..(row + 1) * 64].iter();
        assert!(row(1).all(|x| x.is_nan()), "{name}");
        assert!(row(0).chain(row(2)).all(|x| x.is_finite()), "{name}");
    }
}

#[test]
fn activations_are_those_of_plain_operations() {
    let kinds = [
        Activation::Silu,
        Activation::GeluTanh,
        Activation::ClampedSwiglu { alpha: 1.702, limit: 1.5 },
    ];
    for (name, target) in targets() {
        for kind in kinds {
            for shape in [[1, 32], [7, 333]] {
                let run = |target: &Target| {
                    let (gate, up) = (tensor(target, 3, &shape), tensor(target, 4, &shape));
                    activate(target, kind, &gate, &up).expect("runs")
                };
                assert_near(&format!("{name}: {kind:?}"), &run(&target), &run(&plain()), 1e-5);
            }
        }
    }
}

fn ropes(dims: u32, layout: RopeLayout, positions: &[u32]) -> Vec<Rope> {
    let rope = RopeSpec { layout, ..RopeSpec::plain(10_000.0, dims) };
    let spec = ModelSpec { rope, ..ModelSpec::plain(Architecture::Llama) };
    let mut ropes = Rope::all_of(&spec, 4096, 64).expect("a rope");
    ropes.iter_mut().for_each(|rope| rope.fill(positions.iter().copied()));
    ropes
}

#[test]
fn rotations_are_those_of_plain_operations() {
    for (name, target) in targets() {
        for layout in [RopeLayout::HalfSplit, RopeLayout::Interleaved] {
            // Whole heads, and a part of them.
            for (heads, dim, dims) in [(4, 64, 64), (3, 96, 64), (1, 80, 32), (2, 256, 256)] {
                let positions = [0, 7, 900];
                let run = |target: &Target| {
                    let rope = &ropes(dims, layout, &positions)[0];
                    let rotation = super::rotation::Rotation::of(rope, 3, target).expect("angles");
                    rotation.rotate(&tensor(target, 6, &[3, heads, dim])).expect("runs")
                };
                let name = format!("{name}: {layout:?} {dims} of {dim}");
                assert_near(&name, &run(&target), &run(&plain()), 1e-6);
            }
        }
    }
}

/// Heads as families have them.
#[derive(Clone, Copy, Debug)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    dim: usize,
    /// None where keys and values are apart.
    latent_values: Option<usize>,
    window: Option<u32>,
    soft_cap: Option<f32>,
    sinks: bool,
}

const GROUPED: Shape = Shape {
    heads: 4,
    kv_heads: 1,
    dim: 64,
    latent_values: None,
    window: None,
    soft_cap: None,
    sinks: false,
};

const SHAPES: [Shape; 8] = [
    GROUPED,
    Shape { heads: 3, kv_heads: 3, dim: 96, ..GROUPED },
    Shape { heads: 16, kv_heads: 2, dim: 128, ..GROUPED },
    Shape { heads: 6, kv_heads: 2, window: Some(40), ..GROUPED },
    Shape { heads: 8, kv_heads: 2, dim: 256, soft_cap: Some(5.0), ..GROUPED },
    Shape { heads: 8, kv_heads: 1, dim: 64, window: Some(128), sinks: true, ..GROUPED },
    // More heads than a block takes.
    Shape { heads: 12, kv_heads: 1, dim: 160, latent_values: Some(128), ..GROUPED },
    Shape { heads: 16, kv_heads: 1, dim: 576, latent_values: Some(512), ..GROUPED },
];

/// Rows of sequences as `(position, rows)`: decoding beside chunks, within a span and over borders.
const STEP: [(u32, usize); 5] = [(0, 3), (300, 1), (127, 2), (128, 1), (120, 11)];

/// A step whose sequences have every block of their own, in a mixed order.
fn batch(rows: &[(u32, usize)], block_size: u32) -> StepBatch {
    let count = |(position, rows): (u32, usize)| (position + rows as u32).div_ceil(block_size);
    let total: u32 = rows.iter().map(|set| count(*set)).sum();
    let mut next = 0;
    let mut block = || {
        next += 1;
        BlockId((next * 7) % (total.next_multiple_of(7) + 1))
    };
    let rows = rows.iter().zip(0..).map(|(set, id)| SequenceRows {
        sequence: SequenceId(id),
        position: set.0,
        tokens: vec![TokenId(1); set.1],
        block_tables: vec![(0..count(*set)).map(|_| block()).collect()],
        state_slot: None,
        sample: Sample::No,
    });
    let step = protocol::ids::StepId(0);
    StepBatch { step, starts: vec![], ends: vec![], copies: vec![], rows: rows.collect() }
}

/// What the rows of `asked` attend to, with the past of `STEP` in the pages.
fn attended(
    target: &Target,
    shape: Shape,
    (kv_type, block_size): (KvType, u32),
    asked: std::ops::Range<usize>,
) -> Tensor {
    let width = (shape.kv_heads * shape.dim) as u32;
    let state = match shape.latent_values {
        None => StateKind::PagedKv { window: shape.window },
        Some(_) => StateKind::PagedLatent { width },
    };
    let spec = ModelSpec {
        attention: AttentionSpec::grouped(
            shape.heads as u32,
            shape.kv_heads as u32,
            shape.dim as u32,
        ),
        context_length: 1024,
        layers: vec![LayerSpec { state, weight_bytes: 0, macs_per_token: 0 }],
        ..ModelSpec::plain(Architecture::Llama)
    };
    let mut config = StageConfig::whole_model(&spec, 1024, kv_type);
    (config.kv.block_size, config.kv.blocks) = (block_size, 1024 / block_size * 2);
    let pages = Pages::of_stage(&spec, &config, target).expect("pages").remove(0);
    // What came before, then the rows at hand: the whole past of every sequence is stored.
    let past: Vec<_> = STEP.iter().map(|(position, rows)| (0, *position as usize + rows)).collect();
    let filled = Step::of(&batch(&past, block_size), &[], block_size, target).expect("a step");
    let rows = [filled.rows, width as usize];
    let (keys, values) = (tensor(target, 8, &rows), tensor(target, 9, &rows));
    let values = shape.latent_values.is_none().then_some(&values);
    pages.store(&filled.slots, &keys, values).expect("stored");
    let mut asked_rows = batch(&STEP, block_size);
    let before: usize = STEP[..asked.start].iter().map(|set| set.1).sum();
    asked_rows.rows = asked_rows.rows.drain(asked).collect();
    let all = Step::of(&batch(&STEP, block_size), &[], block_size, target).expect("a step");
    let step = Step::of(&asked_rows, &[], block_size, target).expect("a step");
    let attention = PagedAttention {
        heads: shape.heads,
        kv_heads: shape.kv_heads,
        value_dim: shape.latent_values.unwrap_or(shape.dim),
        scale: 0.3,
        soft_cap: shape.soft_cap,
        window: shape.window,
        sinks: shape.sinks.then(|| tensor(target, 10, &[shape.heads])),
        target: target.clone(),
    };
    let query = tensor(target, 11, &[all.rows, shape.heads, shape.dim]);
    let query = query.narrow(0, before, step.rows).expect("rows");
    attention.forward(&step, &pages, &query).expect("attends")
}

const STORED: [(KvType, u32); 4] =
    [(KvType::F32, 16), (KvType::F16, 32), (KvType::Bf16, 16), (KvType::Q8_0, 32)];

#[test]
fn attention_over_pages_is_that_of_plain_operations() {
    for (name, target) in targets() {
        for (shape, stored) in SHAPES.iter().flat_map(|shape| STORED.map(|kv| (*shape, kv))) {
            let found = attended(&target, shape, stored, 0..STEP.len());
            let expected = attended(&plain(), shape, stored, 0..STEP.len());
            assert_near(&format!("{name}: {shape:?} {stored:?}"), &found, &expected, 2e-5);
        }
    }
}

#[test]
fn a_sequence_attends_to_the_same_bits_alone_and_beside_others() {
    for (name, target) in targets() {
        for shape in SHAPES {
            let stored = (KvType::F16, 16);
            let together = values(&attended(&target, shape, stored, 0..STEP.len()));
            let each = (0..STEP.len()).map(|i| attended(&target, shape, stored, i..i + 1));
            let alone: Vec<f32> = each.flat_map(|attended| values(&attended)).collect();
            assert_eq!(alone, together, "{name}: {shape:?}");
        }
    }
}

#[test]
fn the_best_and_the_likeliest_tokens_are_those_of_a_sorted_row() {
    for (name, target) in targets() {
        for vocabulary in [5, 1000, 4099] {
            // Coarse numbers: many are equal, zeros of both signs among them.
            let coarse = numbers(21, 3 * vocabulary).into_iter().map(|x| (x * 20.0).round() / 2.0);
            let coarse: Vec<f32> = coarse.collect();
            let logits = Tensor::from_slice(&coarse, (3, vocabulary), &target.device);
            let logits = logits.expect("a tensor");
            let best = candidates::best(&target, &logits).expect("runs");
            for (row, best) in coarse.chunks(vocabulary).zip(&best) {
                let expected = row.iter().fold(f32::MIN, |m, x| m.max(*x));
                let token = row.iter().position(|x| *x == expected).expect("it is there") as u32;
                assert!(best.finite && best.candidate.token == token, "{name}: {best:?}");
            }
            for (row, count) in [(0, 1), (1, 3), (2, 64), (0, 5000)] {
                let one = logits.narrow(0, row, 1).expect("a row");
                let found = candidates::likeliest(&target, &one, count).expect("runs");
                let mut found: Vec<_> = found.iter().map(|c| (c.logit, c.token)).collect();
                let row = &coarse[row * vocabulary..(row + 1) * vocabulary];
                let mut expected: Vec<_> = row.iter().copied().zip(0_u32..).collect();
                for list in [&mut found, &mut expected] {
                    list.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                }
                expected.truncate(count);
                assert_eq!(found, expected, "{name}");
            }
        }
    }
}

#[test]
fn a_row_with_a_number_that_is_none_is_found() {
    for (name, target) in targets() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut logits = numbers(22, 2 * 2000);
            logits[1999] = odd;
            let logits = Tensor::from_vec(logits, (2, 2000), &target.device).expect("a tensor");
            let best = candidates::best(&target, &logits).expect("runs");
            assert!(!best[0].finite && best[1].finite, "{name}: {odd} {best:?}");
        }
    }
}
