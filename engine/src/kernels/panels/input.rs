//! Input rows, rounded once to 8 bits for all products that take them.

use crate::kernels::KernelSet;

/// Columns that an input step holds.
pub(crate) const STEP_COLUMNS: usize = 256;
/// Rows are padded to a multiple of this.
pub(super) const ROWS_TOGETHER_MAX: usize = 8;
/// Below this a scale's reciprocal would not be finite: such values are zeros.
const SMALLEST: f32 = 1e-36;

/// The form in which a weight type takes its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputKind {
    /// As it is.
    Floats,
    /// One scale per 32 values.
    Blocks32,
    /// One scale per 256 values.
    Blocks256,
}

/// 256 columns of one row. The size keeps 16 rows apart in the first-level cache's sets.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct InputStep {
    /// `round(x / scale)`, from -127 to 127.
    pub(super) values: [i8; STEP_COLUMNS],
    /// Blocks of 32: minus the sum of each. Blocks of 256: sums of 16 values, then from entry 8 on
    /// sums of 32, as pairs of i16 in the order in which the even and the odd bytes of packed
    /// scales pair up: (0, 2), (1, 3), (4, 6), ...
    pub(super) sums: [i32; 16],
    /// Of each 32, or in the first entry of all 256.
    pub(super) scales: [f32; 8],
}

impl InputStep {
    const ZERO: Self = Self { values: [0; STEP_COLUMNS], sums: [0; 16], scales: [0.0; 8] };
}

/// Rounded rows, `[columns / 256][rows, padded]`.
pub(crate) struct InputRows {
    pub(super) kind: InputKind,
    pub(super) steps: Vec<InputStep>,
    /// Rows with their padding.
    pub(super) stride: usize,
}

impl InputRows {
    /// With room for `rows` rows of `columns` values.
    pub(crate) fn with_capacity(kind: InputKind, rows: usize, columns: usize) -> Self {
        let steps = Vec::with_capacity(Self::steps(rows, columns));
        Self { kind, steps, stride: 0 }
    }

    /// Memory of such rows.
    pub(crate) fn bytes(rows: usize, columns: usize) -> usize {
        Self::steps(rows, columns) * size_of::<InputStep>()
    }

    fn steps(rows: usize, columns: usize) -> usize {
        rows.next_multiple_of(ROWS_TOGETHER_MAX) * columns.div_ceil(STEP_COLUMNS)
    }

    /// Makes room for `rows` rows, without their values.
    pub(super) fn resize(&mut self, rows: usize, columns: usize) {
        self.stride = rows.next_multiple_of(ROWS_TOGETHER_MAX);
        self.steps.resize(self.stride * columns.div_ceil(STEP_COLUMNS), InputStep::ZERO);
    }
}

/// What a panel is multiplied with.
pub(super) struct PanelInput<'a> {
    pub(super) steps: &'a [InputStep],
    /// Rows of `steps` with their padding.
    pub(super) stride: usize,
    // [rows, columns]
    pub(super) floats: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// Rounds up to 256 values of a row.
///
/// The scale is the largest magnitude / 127; halves round to even. A value that is not finite
/// makes the block's scale NaN, and so the row's products.
pub(super) fn round(set: KernelSet, kind: InputKind, x: &[f32], step: &mut InputStep) {
    match set {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a set is only chosen where the CPU has its features.
        KernelSet::Avx512Vnni | KernelSet::Amx => unsafe { round_avx512(kind, x, step) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        KernelSet::Avx2 => unsafe { round_avx2(kind, x, step) },
        _ => round_body(kind, x, step),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn round_avx512(kind: InputKind, x: &[f32], step: &mut InputStep) {
    round_body(kind, x, step);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn round_avx2(kind: InputKind, x: &[f32], step: &mut InputStep) {
    round_body(kind, x, step);
}

#[inline(always)]
fn round_body(kind: InputKind, x: &[f32], step: &mut InputStep) {
    let mut padded = [0.0; STEP_COLUMNS];
    let x: &[f32; STEP_COLUMNS] = if let Ok(whole) = x.try_into() {
        whole
    } else {
        padded[..x.len()].copy_from_slice(x);
        &padded
    };
    match kind {
        InputKind::Floats => {}
        InputKind::Blocks32 => {
            let values = step.values.as_chunks_mut::<32>().0;
            for (i, (x, values)) in x.as_chunks::<32>().0.iter().zip(values).enumerate() {
                step.scales[i] = round_block(x, values);
                step.sums[i] = -sum(values);
            }
        }
        InputKind::Blocks256 => {
            step.scales[0] = round_block(x, &mut step.values);
            step.sums = paired_sums(&step.values);
        }
    }
}

/// Returns the scale.
#[inline(always)]
fn round_block<const N: usize>(x: &[f32; N], values: &mut [i8; N]) -> f32 {
    // 1.5 * 2^23: adding it rounds to an integer in the lowest bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    // Magnitudes order as integers too, with infinity and NaN above all numbers.
    let largest = x.iter().fold(0, |largest, x| (x.to_bits() & 0x7fff_ffff).max(largest));
    let largest = f32::from_bits(largest);
    if !largest.is_finite() {
        values.fill(0);
        return f32::NAN;
    }
    if largest < SMALLEST {
        values.fill(0);
        return 0.0;
    }
    let inverse = 127.0 / largest;
    for (value, x) in values.iter_mut().zip(x) {
        *value = (x * inverse + ROUND).to_bits() as i8;
    }
    largest / 127.0
}

#[inline(always)]
fn sum(values: &[i8]) -> i32 {
    i32::from(values.iter().fold(0_i16, |sum, value| sum + i16::from(*value)))
}

#[inline(always)]
fn paired_sums(values: &[i8; STEP_COLUMNS]) -> [i32; 16] {
    let pair = |low: i32, high: i32| low & 0xffff | high << 16;
    let mut of_16 = [0; 16];
    for (sum_16, values) in of_16.iter_mut().zip(values.as_chunks::<16>().0) {
        *sum_16 = sum(values);
    }
    let of_32 = |i: usize| of_16[2 * i] + of_16[2 * i + 1];
    let mut sums = [0; 16];
    for i in 0..8 {
        let first = i / 2 * 4 + i % 2;
        sums[i] = pair(of_16[first], of_16[first + 2]);
        if i < 4 {
            sums[8 + i] = pair(of_32(first), of_32(first + 2));
        }
    }
    sums
}
