//! Every kernel set against plain sums over the file's own bytes, bit for bit.

use checkpoint::WeightType;
use half::f16;

use super::*;
use crate::kernels::{Compute, KernelSet};
use crate::weights::dequantise;

const ROW_COUNTS: [usize; 8] = [1, 2, 3, 8, 16, 17, 64, 145];

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// In [-1, 1).
    fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Where a type's block keeps its scale and its factor of mins; `None` for plain floats.
fn factors(weight: WeightType) -> Option<(usize, Option<usize>)> {
    match weight {
        WeightType::F32 | WeightType::F16 | WeightType::BF16 | WeightType::F8x128 => None,
        WeightType::U8 | WeightType::F8E4M3 | WeightType::I32 => None,
        WeightType::Int4x32 | WeightType::Int4x64 | WeightType::Int4x128 => Some((0, None)),
        WeightType::Q8_0 | WeightType::Q4_0 | WeightType::Q5_0 => Some((0, None)),
        WeightType::Iq4Nl | WeightType::Iq4Xs | WeightType::Mxfp4 => Some((0, None)),
        WeightType::Q4_1 | WeightType::Q5_1 => Some((0, Some(2))),
        WeightType::Q4K | WeightType::Q5K => Some((0, Some(2))),
        WeightType::Q2K => Some((80, Some(82))),
        WeightType::Q3K => Some((108, None)),
        WeightType::Q6K => Some((208, None)),
    }
}

#[test]
fn memory_is_told_by_the_layout_that_panels_have() {
    for weight in WeightType::ALL {
        let layout = dispatch::layout(weight);
        let own = (layout.unit_columns as u64, layout.unit_bytes as u64);
        assert_eq!(weight.panel_unit(), own, "{weight}");
        let matrix = PackedMatrix::zeroed(weight, 33, 512).expect("memory");
        assert_eq!(matrix.bytes() as u64, weight.panel_bytes(33, 512), "{weight}");
    }
}

/// The plain values of whole blocks.
fn dequantised(weight: WeightType, bytes: &[u8]) -> Vec<f32> {
    let values = bytes.len() as u64 / weight.block_bytes() * weight.block_elements();
    let mut out = vec![0.0; values as usize];
    dequantise(weight, bytes, &mut out);
    out
}

/// Values of a block with other factors: exact integers when these are ones and zeros.
fn integers(weight: WeightType, block: &[u8], d: f32, dmin: f32) -> Vec<i64> {
    let (at, min_at) = factors(weight).expect("a quantised type");
    let mut block = block.to_vec();
    if weight == WeightType::Mxfp4 {
        // Two to this minus 128. The mins of a type that has none are never asked for.
        block[0] = 128;
    } else {
        block[at..at + 2].copy_from_slice(&f16::from_f32(d).to_le_bytes());
    }
    if let Some(at) = min_at {
        block[at..at + 2].copy_from_slice(&f16::from_f32(dmin).to_le_bytes());
    }
    dequantised(weight, &block).into_iter().map(|x| x as i64).collect()
}

/// A weight row's blocks: scale, scaled codes, factor of mins, mins.
struct PlainBlock {
    d: f32,
    codes: Vec<i64>,
    dmin: Option<f32>,
    mins: Vec<i64>,
}

/// Inputs that are rounded together: a block's, but 32 where several of them share a scale.
fn input_block(weight: WeightType) -> usize {
    match weight {
        WeightType::Int4x64 | WeightType::Int4x128 => 32,
        _ => weight.block_elements() as usize,
    }
}

fn plain_blocks(weight: WeightType, row: &[u8]) -> Vec<PlainBlock> {
    let (at, min_at) = factors(weight).expect("a quantised type");
    let half = |block: &[u8], at: usize| match weight {
        WeightType::Mxfp4 => (f32::from(block[0]) - 128.0).exp2(),
        _ => f16::from_le_bytes([block[at], block[at + 1]]).to_f32(),
    };
    let width = input_block(weight);
    let block = |block: &[u8]| {
        let (d, dmin) = (half(block, at), min_at.map(|at| half(block, at)));
        let codes = integers(weight, block, 1.0, 0.0);
        let mins = integers(weight, block, 0.0, -1.0);
        let parts = codes.chunks(width).zip(mins.chunks(width));
        let part = |(codes, mins): (&[i64], &[i64])| PlainBlock {
            d,
            codes: codes.to_vec(),
            dmin,
            mins: mins.to_vec(),
        };
        parts.map(part).collect::<Vec<_>>()
    };
    row.chunks_exact(weight.block_bytes() as usize).flat_map(block).collect()
}

/// Rounded values and scale of a block of inputs.
fn plain_rounded(x: &[f32]) -> (Vec<i64>, f32) {
    let largest = x.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    (x.iter().map(|x| (x * inverse).round_ties_even() as i64).collect(), largest / 127.0)
}

fn plain_product(blocks: &[PlainBlock], x: &[(Vec<i64>, f32)]) -> f32 {
    let dot = |a: &[i64], b: &[i64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<i64>() as f32;
    blocks.iter().zip(x).fold(0.0, |sum, (block, (x, dx))| {
        let sum = dot(&block.codes, x).mul_add(block.d * dx, sum);
        match block.dmin {
            Some(dmin) => (-dot(&block.mins, x)).mul_add(dmin * dx, sum),
            None => sum,
        }
    })
}

/// As of floats within each block, whose sum is then scaled.
fn plain_float8_product(row: &[u8], x: &[f32]) -> f32 {
    row.chunks_exact(132).zip(x.chunks_exact(128)).fold(0.0, |sum, (block, x)| {
        let unscaled = [&1.0_f32.to_le_bytes(), &block[4..]].concat();
        let mut sums = [0.0_f32; 2];
        for (i, (x, weight)) in x.iter().zip(dequantised(WeightType::F8x128, &unscaled)).enumerate()
        {
            sums[i % 2] = weight.mul_add(*x, sums[i % 2]);
        }
        let scale = f32::from_le_bytes(block[..4].try_into().expect("four"));
        (sums[0] + sums[1]).mul_add(scale, sum)
    })
}

/// `[rows, outputs]`
fn plain(case: &Case) -> Vec<f32> {
    let Case { weight, columns, file, x } = case;
    let row_bytes = columns / weight.block_elements() as usize * weight.block_bytes() as usize;
    let weights = file.chunks_exact(row_bytes);
    if *weight == WeightType::F8x128 {
        let product = |(row, x): (&[u8], &[f32])| plain_float8_product(row, x);
        let weights: Vec<&[u8]> = weights.collect();
        return x
            .chunks_exact(*columns)
            .flat_map(|x| weights.iter().map(move |row| product((*row, x))))
            .collect();
    }
    if factors(*weight).is_none() {
        let weights: Vec<Vec<f32>> = weights.map(|row| dequantised(*weight, row)).collect();
        let product = |x: &[f32], weights: &[f32]| {
            let mut sums = [0.0_f32; 2];
            for (i, (x, weight)) in x.iter().zip(weights).enumerate() {
                sums[i % 2] = weight.mul_add(*x, sums[i % 2]);
            }
            sums[0] + sums[1]
        };
        return x
            .chunks_exact(*columns)
            .flat_map(|x| weights.iter().map(move |row| product(x, row)))
            .collect();
    }
    let weights: Vec<_> = weights.map(|row| plain_blocks(*weight, row)).collect();
    let block = input_block(*weight);
    x.chunks_exact(*columns)
        .map(|x| x.chunks_exact(block).map(plain_rounded).collect::<Vec<_>>())
        .flat_map(|x| weights.iter().map(|row| plain_product(row, &x)).collect::<Vec<_>>())
        .collect()
}

struct Case {
    weight: WeightType,
    columns: usize,
    file: Vec<u8>,
    x: Vec<f32>,
}

impl Case {
    fn random(weight: WeightType, outputs: usize, columns: usize, rows: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let (block, bytes) = (weight.block_elements() as usize, weight.block_bytes() as usize);
        let mut file: Vec<u8> =
            (0..outputs * columns / block * bytes).map(|_| random.next() as u8).collect();
        for block in file.chunks_exact_mut(bytes) {
            let mut half = |at: usize| {
                let factor = f16::from_f32(0.01 * random.signed());
                block[at..at + 2].copy_from_slice(&factor.to_le_bytes());
            };
            match factors(weight) {
                _ if weight == WeightType::Mxfp4 => block[0] = 110 + block[0] % 16,
                Some((at, min_at)) => [Some(at), min_at].into_iter().flatten().for_each(half),
                None if weight == WeightType::F32 => {
                    block.copy_from_slice(&random.signed().to_le_bytes());
                }
                None if weight == WeightType::F16 => half(0),
                None if weight == WeightType::F8x128 => {
                    block.iter_mut().for_each(|code| *code &= 0xf7);
                    block[..4].copy_from_slice(&(0.01 * random.signed()).to_le_bytes());
                }
                None => block[1] = block[1] & 0x80 | 0x3d,
            }
        }
        let x = (0..rows * columns).map(|_| random.signed()).collect();
        Self { weight, columns, file, x }
    }

    /// All codes, scales and inputs as large as they come, and sums that are odd.
    fn extreme(weight: WeightType, codes: u8, columns: usize, rows: usize) -> Self {
        let mut case = Self::random(weight, 16, columns, rows, 5);
        for block in case.file.chunks_exact_mut(weight.block_bytes() as usize) {
            let kept = block.to_vec();
            match weight {
                WeightType::F32 | WeightType::F16 | WeightType::BF16 => {}
                WeightType::F8x128 => block[4..].fill(codes & 0xfe),
                WeightType::Q6K => {
                    block[..192].fill(codes);
                    block[192..208].fill(if codes == 0 { 0x80 } else { 0x7f });
                }
                _ => block.fill(codes),
            }
            let factors = factors(weight).map(|(at, min_at)| [Some(at), min_at]);
            for at in factors.into_iter().flatten().flatten() {
                let bytes = if weight == WeightType::Mxfp4 { 1 } else { 2 };
                block[at..at + bytes].copy_from_slice(&kept[at..at + bytes]);
            }
        }
        for (i, x) in case.x.iter_mut().enumerate() {
            let sign = if (i / columns).is_multiple_of(2) { 1.0 } else { -1.0 };
            *x = if i % 32 == 7 { 0.5 } else { sign };
        }
        case
    }

    fn outputs(&self) -> usize {
        let (block, bytes) = (self.weight.block_elements(), self.weight.block_bytes());
        self.file.len() / (self.columns / block as usize * bytes as usize)
    }

    fn pack(&self) -> PackedMatrix {
        let packed = PackedMatrix::zeroed(self.weight, self.outputs(), self.columns);
        let mut packed = packed.expect("memory");
        let bytes = self.file.len() / self.outputs() * PANEL_ROWS * 2;
        for (rows, panels) in self.file.chunks(bytes).zip(packed.pieces_mut(2)) {
            assert!(pack_panels(self.weight, self.columns, rows, panels), "finite");
        }
        packed
    }

    /// Products of the rows `from` to `from + rows`.
    fn product(
        &self,
        compute: &Compute,
        packed: &PackedMatrix,
        from: usize,
        rows: usize,
    ) -> Vec<f32> {
        let mut space = InputSpace::with_capacity(rows, self.columns);
        let mut out = vec![f32::NAN; rows * self.outputs()];
        let x = &self.x[from * self.columns..(from + rows) * self.columns];
        multiply(compute, &mut [Product::new(packed, &mut out)], x, &mut space);
        out
    }

    fn check(&self) {
        let (expected, packed, outputs) = (plain(self), self.pack(), self.outputs());
        let rows_total = self.x.len() / self.columns;
        for set in KernelSet::available() {
            let compute = Compute::new(set, 2, || {});
            for rows in ROW_COUNTS.into_iter().filter(|rows| *rows <= rows_total) {
                for from in [0, (rows_total - rows) / 3, rows_total - rows] {
                    let found = self.product(&compute, &packed, from, rows);
                    let expected = &expected[from * outputs..(from + rows) * outputs];
                    let same = found.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits());
                    let Self { weight, columns, .. } = self;
                    assert!(same, "{set}, {weight}: {rows} rows from {from}, {columns} columns");
                }
            }
        }
    }
}

#[test]
fn every_set_gives_the_bits_of_plain_sums_at_every_number_of_rows() {
    for weight in WeightType::ALL {
        Case::random(weight, 40, 512, 66, 1).check();
        Case::random(weight, 7, 256, 20, 2).check();
    }
}

#[test]
fn more_rows_than_a_task_takes_at_a_time_have_the_same_bits() {
    for weight in [WeightType::Q4K, WeightType::Q8_0, WeightType::BF16] {
        Case::random(weight, 40, 2048, 145, 4).check();
    }
}

#[test]
fn columns_need_not_fill_a_unit() {
    for weight in WeightType::ALL.into_iter().filter(|weight| weight.block_elements() == 32) {
        for columns in [32, 96, 288, 896] {
            Case::random(weight, 33, columns, 9, 3).check();
        }
    }
    for columns in [1, 31, 90] {
        Case::random(WeightType::F32, 17, columns, 9, 3).check();
        Case::random(WeightType::BF16, 17, columns, 9, 3).check();
    }
}

#[test]
fn the_largest_codes_scales_and_inputs_stay_exact() {
    for weight in WeightType::ALL {
        Case::extreme(weight, 0x00, 512, 17).check();
        Case::extreme(weight, 0x80, 512, 17).check();
        Case::extreme(weight, 0xff, 512, 17).check();
    }
}

#[test]
fn a_packed_row_has_the_values_of_its_file_bit_for_bit() {
    for weight in WeightType::ALL {
        let case = Case::random(weight, 37, 512, 1, 4);
        let (packed, expected) = (case.pack(), dequantised(weight, &case.file));
        for set in KernelSet::available() {
            for (row, expected) in expected.chunks_exact(512).enumerate() {
                let mut found = vec![0.0; 512];
                packed.row_to_f32(set, row, &mut found);
                let same = found.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{set}, {weight}: row {row}");
            }
        }
    }
}

#[test]
fn rounded_products_are_within_one_percent_of_exact_ones() {
    for weight in WeightType::ALL {
        let case = Case::random(weight, 64, 1024, 8, 6);
        let found = case.product(&Compute::new(KernelSet::best(), 1, || {}), &case.pack(), 0, 8);
        let weights = dequantised(weight, &case.file);
        let mut sums = (0.0, 0.0);
        for (x, found) in case.x.chunks_exact(1024).zip(found.chunks_exact(64)) {
            for (row, found) in weights.chunks_exact(1024).zip(found) {
                let exact: f64 =
                    row.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
                sums = (sums.0 + (exact - f64::from(*found)).powi(2), sums.1 + exact * exact);
            }
        }
        let error = (sums.0 / sums.1).sqrt();
        assert!(error <= 0.01, "{weight}: relative RMS {error}");
    }
}

#[test]
fn inputs_that_are_not_finite_spoil_their_own_row_alone() {
    for weight in WeightType::ALL {
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut case = Case::random(weight, 16, 256, 3, 7);
            case.x[256 + 100] = poison;
            for set in KernelSet::available() {
                let compute = Compute::new(set, 1, || {});
                let found = case.product(&compute, &case.pack(), 0, 3);
                assert!(found[16..32].iter().all(|y| !y.is_finite()), "{set}, {weight}");
                assert!(found[..16].iter().chain(&found[32..]).all(|y| y.is_finite()), "{set}");
            }
        }
    }
}

#[test]
fn a_scale_that_is_not_finite_is_told() {
    for weight in WeightType::ALL {
        let mut case = Case::random(weight, 16, 512, 1, 8);
        let block = case.file.len() - weight.block_bytes() as usize;
        let at = block + factors(weight).map_or(0, |(at, _)| at);
        match weight {
            WeightType::F32 => case.file[at + 2..].copy_from_slice(&[0x80, 0x7f]),
            WeightType::BF16 => case.file[at..at + 2].copy_from_slice(&[0x80, 0x7f]),
            WeightType::Mxfp4 => case.file[at] = 0xff,
            WeightType::F8x128 => case.file[at + 131] = 0x7f,
            _ => case.file[at..at + 2].copy_from_slice(&[0x00, 0x7c]),
        }
        let mut packed = PackedMatrix::zeroed(weight, 16, 512).expect("memory");
        let panel = packed.pieces_mut(1).next().expect("a panel");
        assert!(!pack_panels(weight, 512, &case.file, panel), "{weight}");
    }
}

#[test]
fn columns_in_an_order_of_their_own_meet_the_inputs_that_they_belong_to() {
    let case = Case::random(WeightType::Int4x64, 24, 320, 9, 9);
    let order: Vec<u32> = (0..320).map(|i| i * 7 % 320).collect();
    let mut sorted = Case::random(WeightType::Int4x64, 24, 320, 9, 9);
    for (own, x) in sorted.x.chunks_exact_mut(320).zip(case.x.chunks_exact(320)) {
        own.iter_mut().zip(&order).for_each(|(own, at)| *own = x[*at as usize]);
    }
    let expected = plain(&sorted);
    let packed = case.pack().with_order(&order);
    let values = dequantised(case.weight, &case.file);
    for set in KernelSet::available() {
        let found = case.product(&Compute::new(set, 1, || {}), &packed, 0, 9);
        assert!(found == expected, "{set}");
        let mut row = vec![0.0; 320];
        packed.row_to_f32(set, 3, &mut row);
        let of_row = &values[3 * 320..4 * 320];
        assert!(order.iter().zip(of_row).all(|(at, value)| row[*at as usize] == *value), "{set}");
    }
}
