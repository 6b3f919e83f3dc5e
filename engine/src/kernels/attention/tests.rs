//! The passes against a plain softmax in double precision, and against each other.

use super::*;

/// A pool of one layer and one KV head, filled with made-up keys and values.
struct Filled {
    elements: Vec<f32>,
    halves: Vec<u16>,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    blocks: Vec<BlockId>,
    dim: usize,
    block_size: usize,
}

fn made_up(i: usize) -> f32 {
    ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0
}

impl Filled {
    fn new(positions: usize, dim: usize, block_size: usize) -> Self {
        let count = positions.div_ceil(block_size);
        // The pool has one block more than the table, which runs backwards through it.
        let blocks: Vec<_> = (0..count).map(|i| BlockId((count - i) as u32)).collect();
        let mut elements = vec![f32::NAN; (count + 1) * 2 * block_size * dim];
        let row = |position: usize, which: usize| -> Vec<f32> {
            let value = |d: usize| made_up((position * 2 + which) * 131 + d * 17);
            (0..dim).map(|d| half::f16::from_f32(value(d)).to_f32()).collect()
        };
        let (mut keys, mut values) = (vec![], vec![]);
        for position in 0..positions {
            let slot = position % block_size;
            let start = blocks[position / block_size].0 as usize * 2 * block_size * dim;
            let (key, value) = (row(position, 0), row(position, 1));
            for d in 0..dim {
                let group = slot / KEY_GROUP * KEY_GROUP * dim;
                elements[start + group + d * KEY_GROUP + slot % KEY_GROUP] = key[d];
                elements[start + block_size * dim + slot * dim + d] = value[d];
            }
            keys.push(key);
            values.push(value);
        }
        let halves = elements.iter().map(|x| half::f16::from_f32(*x).to_bits()).collect();
        Self { elements, halves, keys, values, blocks, dim, block_size }
    }

    fn head(&self, halves: bool) -> PagedHead<'_> {
        PagedHead {
            elements: match halves {
                true => Elements::F16(&self.halves),
                false => Elements::F32(&self.elements),
            },
            row_keys: false,
            keys: 0,
            values: self.block_size * self.dim,
            stride: 2 * self.block_size * self.dim,
            block_size: self.block_size,
            key_dim: self.dim,
            value_dim: self.dim,
        }
    }

    fn query(&self, heads: usize) -> Vec<f32> {
        (0..heads * self.dim).map(|i| 3.0 * made_up(i * 3 + 1)).collect()
    }

    fn attend(&self, set: KernelSet, halves: bool, row: &RowQuery<'_>) -> Vec<f32> {
        let mut out = vec![f32::NAN; row.query.len()];
        attend(set, row, &self.head(halves), &mut out, &mut AttentionScratch::default());
        out
    }

    /// One head in double precision.
    fn plain(&self, row: &RowQuery<'_>, head: usize) -> Vec<f64> {
        let query = &row.query[head * self.dim..(head + 1) * self.dim];
        let score = |key: &Vec<f32>| {
            let dot: f64 = query.iter().zip(key).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let score = dot * f64::from(row.scale);
            let cap = row.soft_cap.map(f64::from);
            cap.map_or(score, |cap| cap * (score / cap).tanh())
        };
        let scores: Vec<f64> = self.keys[row.positions.clone()].iter().map(score).collect();
        let sink = row.sinks.map(|sinks| f64::from(sinks[head]));
        let largest = scores.iter().copied().chain(sink).fold(f64::MIN, f64::max);
        let total: f64 = scores.iter().copied().chain(sink).map(|s| (s - largest).exp()).sum();
        let mut out = vec![0.0; self.dim];
        for (score, value) in scores.iter().zip(&self.values[row.positions.clone()]) {
            for (out, value) in out.iter_mut().zip(value) {
                *out += (score - largest).exp() / total * f64::from(*value);
            }
        }
        out
    }
}

fn asked<'a>(filled: &'a Filled, query: &'a [f32], positions: Range<usize>) -> RowQuery<'a> {
    let blocks = &filled.blocks;
    RowQuery { query, blocks, positions, scale: 0.125, soft_cap: None, sinks: None }
}

#[test]
fn every_set_agrees_with_a_plain_softmax_at_every_length_and_shape() {
    for (dim, block_size, heads) in
        [(64, 16, 4), (128, 32, 7), (8, 16, 1), (80, 16, 3), (256, 16, 2)]
    {
        let filled = Filled::new(700, dim, block_size);
        let query = filled.query(heads);
        let sinks: Vec<f32> = (0..heads).map(|i| made_up(i) * 2.0).collect();
        for positions in [0..1, 0..15, 0..16, 0..17, 0..255, 0..257, 0..700, 3..19, 250..600] {
            let plain = asked(&filled, &query, positions.clone());
            let capped =
                RowQuery { soft_cap: Some(1.5), ..asked(&filled, &query, positions.clone()) };
            let sunk =
                RowQuery { sinks: Some(&sinks), ..asked(&filled, &query, positions.clone()) };
            for row in [plain, capped, sunk] {
                let bits = filled.attend(KernelSet::Portable, true, &row);
                for (head, out) in bits.chunks_exact(dim).enumerate() {
                    for (out, exact) in out.iter().zip(filled.plain(&row, head)) {
                        assert!((f64::from(*out) - exact).abs() < 2e-6, "{positions:?} {dim}");
                    }
                }
                for set in KernelSet::available() {
                    assert_eq!(filled.attend(set, true, &row), bits, "{set} {positions:?} {dim}");
                    // The pool holds values that f16 can say.
                    assert_eq!(filled.attend(set, false, &row), bits, "{set} {positions:?} {dim}");
                }
            }
        }
    }
}

#[test]
fn a_soft_cap_is_a_scaled_hyperbolic_tangent_at_every_size() {
    for score in [-1e30_f32, -200.0, -3.0, -1e-3, 0.0, 1e-3, 0.7, 5.0, 88.0, 1e30] {
        let mut capped = [score];
        cpu::soft_cap(&mut capped, 30.0);
        let exact = 30.0 * (f64::from(score) / 30.0).tanh();
        assert!((f64::from(capped[0]) - exact).abs() < 1e-5, "{score}: {} {exact}", capped[0]);
    }
}

#[test]
fn spans_end_at_the_same_places_wherever_a_window_begins() {
    let all: Vec<_> = spans(&(0..600)).collect();
    assert_eq!(all, [0..256, 256..512, 512..600]);
    let window: Vec<_> = spans(&(300..600)).collect();
    assert_eq!(window, [300..512, 512..600]);
}

#[test]
fn a_vector_that_is_key_and_value_at_once_gives_the_same_bits_in_every_set() {
    for (dim, heads) in [(64, 5), (72, 2), (576, 4)] {
        let mut filled = Filled::new(300, dim, 16);
        // The values of every block, which follow its keys, are both.
        filled.keys.clone_from(&filled.values);
        let query = filled.query(heads);
        let row = asked(&filled, &query, 0..300);
        let shared = |halves| {
            let head = filled.head(halves);
            PagedHead { row_keys: true, keys: head.values, ..head }
        };
        let attended = |set, halves| {
            let mut out = vec![f32::NAN; query.len()];
            attend(set, &row, &shared(halves), &mut out, &mut AttentionScratch::default());
            out
        };
        let bits = attended(KernelSet::Portable, true);
        for (head, out) in bits.chunks_exact(dim).enumerate() {
            for (out, exact) in out.iter().zip(filled.plain(&row, head)) {
                assert!((f64::from(*out) - exact).abs() < 1e-5, "{out} {exact} {dim}");
            }
        }
        for set in KernelSet::available() {
            assert_eq!(attended(set, true), bits, "{set} {dim}");
            assert_eq!(attended(set, false), bits, "{set} {dim}");
        }
    }
}
