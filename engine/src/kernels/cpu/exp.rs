//! One `exp` for all CPUs: the C library's differs between machines, which would break a stream
//! that is resumed on another one.

widened! {
    /// `x[i] = exp(x[i] - shift)`
    fn exp_shifted(x: &mut [f32], shift: f32) = exp_shifted_body
}
widened! {
    /// `gate[i] = silu(gate[i]) * up[i]`
    fn silu_times(gate: &mut [f32], up: &[f32]) = silu_times_body
}

widened! {
    /// `x[i] *= sigmoid(gate[i])`
    fn sigmoid_times(gate: &[f32], x: &mut [f32]) = sigmoid_times_body
}
widened! {
    /// `x[i] = cap * tanh(x[i] / cap)`
    fn soft_cap(x: &mut [f32], cap: f32) = soft_cap_body
}

#[inline(always)]
fn soft_cap_body(x: &mut [f32], cap: f32) {
    for x in x {
        *x = cap * tanh(*x / cap);
    }
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    // Where the difference of two nearly equal numbers would lose digits, the series does not.
    if x.abs() < 0.01 {
        return x - x * x * x / 3.0;
    }
    2.0 / (1.0 + exp(-2.0 * x)) - 1.0
}

#[inline(always)]
fn exp_shifted_body(x: &mut [f32], shift: f32) {
    for x in x {
        *x = exp(*x - shift);
    }
}

#[inline(always)]
fn silu_times_body(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + exp(-*gate)) * up;
    }
}

#[inline(always)]
fn sigmoid_times_body(gate: &[f32], x: &mut [f32]) {
    for (x, gate) in x.iter_mut().zip(gate) {
        *x /= 1.0 + exp(-*gate);
    }
}

/// e to the x, within 2 units in the last place; 0 below -87.3, where the result would be
/// subnormal. NaN stays NaN.
///
/// Cody-Waite reduction and the polynomial of Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // 1.5 * 2^23: adding it rounds to an integer in the lowest bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    let bounded = if x > 88.722_83 { 88.722_83 } else { x };
    let bounded = if bounded < -87.3 { -87.3 } else { bounded };
    let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = bounded - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let mantissa = p * r * r + r + 1.0;
    // n is at most 128, whose power does not fit one exponent: halve it.
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = exponent >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    let result = mantissa * power(half) * power(exponent.wrapping_sub(half));
    let result = if x < -87.3 { 0.0 } else { result };
    if x > 88.722_83 { f32::INFINITY } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let mut x = -87.0f32;
        while x < 88.7 {
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.4e-7, "exp({x}) is off by {error:e}");
            x += 0.001_37;
        }
    }

    #[test]
    fn exp_holds_at_the_ends() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(88.7) < f32::INFINITY && exp(f32::NAN).is_nan());
    }

    #[test]
    fn avx2_and_the_baseline_give_the_same_bits() {
        let x: Vec<f32> = (0..1000).map(|i| i as f32 * 0.17 - 90.0).collect();
        let mut wide = x.clone();
        exp_shifted(&mut wide, 0.5);
        for (x, wide) in x.iter().zip(&wide) {
            assert_eq!(exp(x - 0.5).to_bits(), wide.to_bits());
        }
    }
}
