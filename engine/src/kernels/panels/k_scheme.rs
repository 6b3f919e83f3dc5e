//! Super-blocks of 256 values with small integer scales: `d * scale * code`, perhaps minus
//! `dmin * min`.
//!
//! The sum over a super-block of scale times dot product is an exact integer below 2^31 whatever
//! the order, rounded once to f32; then one fused multiply-add per 256 columns, and one more for
//! the mins. Where four sub-blocks stay below 2^24, f32 holds their sum exactly too, and a fused
//! multiply-add there costs less than an integer multiplication and an addition.

use std::hint::black_box;
use std::marker::PhantomData;

#[cfg(target_arch = "x86_64")]
use super::dispatch::PanelJob;
use super::input::{InputKind, InputStep, PanelInput, STEP_COLUMNS};
use super::panel_type::{PANEL_ROWS, PanelType, Scheme, byte, dot, prefetch};
use crate::kernels::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use crate::kernels::panels::tile_product;

/// Scales or mins of a unit, a byte per sub-block: entry i holds sub-blocks 4 i to 4 i + 3.
pub(super) type SubScales<V> = [<V as Lanes>::Int; 4];

/// A type whose codes have a scale for each sub-block.
pub(super) trait KQuant: PanelType {
    /// Values of a sub-block: 16 or 32.
    const SUB_COLUMNS: usize;
    /// Whether there are mins; without, the scales have a sign.
    const MINS: bool;
    /// Without mins, 2 to this is taken off the codes; 7 for wide ones.
    const CENTRE_BITS: i32 = 0;
    /// Whether the codes are signed bytes raised by 128.
    const WIDE: bool = false;
    /// Whether scale times dot product stays below 2^24 over four sub-blocks, and either over all
    /// or there are eight: the sum of two such fours rounds as the integer does.
    const EXACT: bool = false;

    /// Scales (bytes).
    ///
    /// # Safety
    /// As `Scheme::dequantise`.
    unsafe fn scales<V: Lanes>(unit: *const u8) -> SubScales<V>;

    /// Mins (bytes), of a type that has them.
    ///
    /// # Safety
    /// As `Scheme::dequantise`.
    unsafe fn mins<V: Lanes>(unit: *const u8) -> SubScales<V> {
        // SAFETY: the caller's promise.
        unsafe { Self::scales::<V>(unit) }
    }

    /// Codes of 32 columns, from `32 * part` on.
    ///
    /// # Safety
    /// As `Scheme::dequantise`; `part` is below 8.
    unsafe fn codes<V: Lanes>(unit: *const u8, part: usize) -> [V::Int; 8];

    /// `d` and `dmin`.
    ///
    /// # Safety
    /// As `Scheme::dequantise`.
    unsafe fn factors<V: Lanes>(unit: *const u8) -> [V::Float; 2];
}

pub(super) struct KScheme<T>(PhantomData<T>);

impl<T: KQuant> Scheme for KScheme<T> {
    const INPUT: InputKind = InputKind::Blocks256;
    #[cfg(target_arch = "x86_64")]
    const TILES: bool = true;

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn tiles(job: &PanelJob<'_>, row: usize, rows: usize) {
        // SAFETY: the caller's promise.
        unsafe { tile_product::k_product::<T>(job, row, rows) }
    }

    #[inline(always)]
    unsafe fn product<V: Lanes, const M: usize>(
        panel: *const u8,
        input: &PanelInput<'_>,
        row: usize,
    ) -> [V::Float; M] {
        // SAFETY: the panel has a unit and the input a step for each 256 columns, with rows padded
        // to a multiple of the rows taken together.
        unsafe {
            let mut acc = [V::splat_f32(0.0); M];
            for step in 0..input.columns / STEP_COLUMNS {
                let unit = panel.add(step * T::UNIT_BYTES);
                let rows = input.steps.as_ptr().add(step * input.stride + row);
                if M >= 8 {
                    prefetch::<V>(unit.wrapping_add(T::UNIT_BYTES), T::UNIT_BYTES);
                    prefetch::<V>(
                        rows.wrapping_add(input.stride).cast(),
                        M * size_of::<InputStep>(),
                    );
                }
                add_unit::<V, T, M>(unit, rows, &mut acc);
            }
            acc
        }
    }

    #[inline(always)]
    unsafe fn dequantise<V: Lanes>(unit: *const u8, out: *mut f32) {
        // SAFETY: the caller's promise; the loops cover 256 columns.
        unsafe {
            let [d, dmin] = T::factors::<V>(unit);
            let (scales, mins) = (T::scales::<V>(unit), T::mins::<V>(unit));
            let centre = V::splat(1 << T::CENTRE_BITS);
            for column in 0..STEP_COLUMNS {
                let codes = T::codes::<V>(unit, column / 32);
                let code = byte::<V>(codes[column % 32 / 4], column % 4);
                let sub = column / T::SUB_COLUMNS;
                let of_sub = |bytes: &SubScales<V>| V::shr32(bytes[sub / 4], sub as i32 % 4 * 8);
                let scale = V::mul_f32(d, V::to_float(low_byte::<V, T>(of_sub(&scales))));
                let value = if T::MINS {
                    let min = V::mul_f32(dmin, V::to_float(low_byte::<V, T>(of_sub(&mins))));
                    V::sub_f32(V::mul_f32(scale, V::to_float(code)), min)
                } else {
                    V::mul_f32(scale, V::to_float(V::sub(code, centre)))
                };
                V::store(value, out.add(column * PANEL_ROWS));
            }
        }
    }
}

/// A sum of scaled dot products: integers, or floats of a type that is `EXACT`.
type Scaled<V> = (<V as Lanes>::Int, <V as Lanes>::Float);

/// Adds 256 columns' products of `M` rows.
///
/// # Safety
/// As `Scheme::product`: `unit` is a unit, `rows` points to `M` steps.
#[inline(always)]
unsafe fn add_unit<V: Lanes, T: KQuant, const M: usize>(
    unit: *const u8,
    rows: *const InputStep,
    acc: &mut [V::Float; M],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let scales = T::scales::<V>(unit);
        let none = (V::splat(0), V::splat_f32(0.0));
        let (mut sums, mut totals) = ([none; M], [none.1; M]);
        // Hidden from the compiler: unrolled, the body outgrows the cache of decoded instructions.
        let quads = black_box(STEP_COLUMNS / T::SUB_COLUMNS / 4);
        for (quad, scale) in scales.iter().enumerate().take(quads) {
            add_quad::<V, T, M>(unit, quad, *scale, rows, &mut sums);
            if T::EXACT {
                for (total, sum) in totals.iter_mut().zip(&mut sums) {
                    *total = V::add_f32(*total, sum.1);
                    sum.1 = none.1;
                }
            }
        }
        let factors = T::factors::<V>(unit);
        let mins = if T::MINS { T::mins::<V>(unit) } else { scales };
        for m in 0..M {
            let row = &*rows.add(m);
            let (mut dot, mut total) = (sums[m].0, totals[m]);
            if !T::MINS && (!T::WIDE || V::RAISED) {
                let centre = V::shl32(lows::<V, T>(&mins, row), T::CENTRE_BITS);
                dot = V::sub(dot, centre);
                total = V::sub_f32(total, V::to_float(centre));
            }
            let total = if T::EXACT { total } else { V::to_float(dot) };
            acc[m] = join::<V, T>(total, &mins, factors, row, acc[m]);
        }
    }
}

/// Adds a unit's exact sum, centred, and its mins to a row's products.
///
/// # Safety
/// As `Lanes`.
#[inline(always)]
pub(super) unsafe fn join<V: Lanes, T: KQuant>(
    total: V::Float,
    mins: &SubScales<V>,
    [d, dmin]: [V::Float; 2],
    row: &InputStep,
    acc: V::Float,
) -> V::Float {
    // SAFETY: the caller's promise.
    unsafe {
        let dx = V::splat_f32(row.scales[0]);
        let acc = V::fma(total, V::mul_f32(d, dx), acc);
        if !T::MINS {
            return acc;
        }
        let lows = V::to_float(lows::<V, T>(mins, row));
        V::fnma(lows, V::mul_f32(dmin, dx), acc)
    }
}

/// Adds the dot products of four sub-blocks, each times its byte of `scale`.
///
/// # Safety
/// As `add_unit`.
#[inline(always)]
unsafe fn add_quad<V: Lanes, T: KQuant, const M: usize>(
    unit: *const u8,
    quad: usize,
    mut scale: V::Int,
    rows: *const InputStep,
    sums: &mut [Scaled<V>; M],
) {
    let parts = T::SUB_COLUMNS / 8;
    // SAFETY: the caller's promise; a quad's parts stay within the 256 columns.
    unsafe {
        for part in quad * parts..(quad + 1) * parts {
            let codes = T::codes::<V>(unit, part);
            let first = low_byte::<V, T>(scale);
            scale = V::shr32(scale, 8);
            let second = if parts == 2 { low_byte::<V, T>(scale) } else { first };
            if parts == 2 {
                scale = V::shr32(scale, 8);
            }
            for (m, sum) in sums.iter_mut().enumerate() {
                let x = (*rows.add(m)).values.as_ptr().add(part * 32);
                *sum = if parts == 2 {
                    let [low, high] = [
                        dot::<V, M, 4>(T::WIDE, &codes, 0, x),
                        dot::<V, M, 4>(T::WIDE, &codes, 4, x),
                    ];
                    add_scaled::<V, T>(add_scaled::<V, T>(*sum, low, first), high, second)
                } else {
                    let dot = dot::<V, M, 8>(T::WIDE, &codes, 0, x);
                    add_scaled::<V, T>(*sum, dot, first)
                };
            }
        }
    }
}

/// # Safety
/// As `Lanes`.
#[inline(always)]
unsafe fn add_scaled<V: Lanes, T: KQuant>(sum: Scaled<V>, dot: V::Int, scale: V::Int) -> Scaled<V> {
    // SAFETY: the caller's promise.
    unsafe {
        match T::EXACT {
            true => (sum.0, V::fma(V::to_float(dot), V::to_float(scale), sum.1)),
            false => (V::add(sum.0, V::mul(dot, scale)), sum.1),
        }
    }
}

/// The sum of each sub-block's min (or scale) times its inputs.
///
/// # Safety
/// As `Lanes`.
#[inline(always)]
unsafe fn lows<V: Lanes, T: KQuant>(bytes: &SubScales<V>, row: &InputStep) -> V::Int {
    let first = if T::SUB_COLUMNS == 16 { 0 } else { 8 };
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = V::splat(0);
        for (i, bytes) in bytes[..STEP_COLUMNS / T::SUB_COLUMNS / 4].iter().enumerate() {
            let [even, odd] = if T::MINS {
                [V::and(*bytes, V::splat(0x00ff_00ff)), V::shr16(*bytes, 8)]
            } else {
                [V::sar16(V::shl16(*bytes, 8), 8), V::sar16(*bytes, 8)]
            };
            sum = V::dot_pairs(sum, even, V::splat(row.sums[first + 2 * i]));
            sum = V::dot_pairs(sum, odd, V::splat(row.sums[first + 2 * i + 1]));
        }
        sum
    }
}

/// The lowest byte of each lane, with the sign that the type's scales have.
///
/// # Safety
/// As `Lanes`.
#[inline(always)]
pub(super) unsafe fn low_byte<V: Lanes, T: KQuant>(bytes: V::Int) -> V::Int {
    // SAFETY: the caller's promise.
    unsafe {
        if T::MINS { V::and(bytes, V::splat(0xff)) } else { V::sar32(V::shl32(bytes, 24), 24) }
    }
}
