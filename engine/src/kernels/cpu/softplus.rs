//! `ln(1 + e^x)` with the same bits on all CPUs, which the C library's logarithm has not.

use super::exp::exp;

/// Within some units in the last place; NaN stays NaN.
///
/// `max(x, 0) + ln(1 + y)` with `y = e^-|x|`; the logarithm is `2 artanh(s)` of
/// `s = y / (2 + y)`, at most 1/3, whose series is cut where it falls below f32's precision.
pub(crate) fn softplus(x: f32) -> f32 {
    let y = exp(-x.abs());
    let s = y / (2.0 + y);
    let square = s * s;
    let mut series = 1.0 / 15.0;
    for odd in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0_f32] {
        series = series * square + 1.0 / odd;
    }
    // Not `f32::max`, which would hide a NaN.
    let whole = if x < 0.0 { 0.0 } else { x };
    whole + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_library_in_double_precision() {
        for i in -4000..4000 {
            let x = i as f32 * 0.02;
            let exact = f64::from(x).exp().ln_1p();
            let error = (f64::from(softplus(x)) - exact).abs() / exact.max(1e-30);
            assert!(error < 6e-7, "softplus({x}) is off by {error:e}");
        }
        assert!(softplus(f32::NAN).is_nan());
        assert_eq!(softplus(f32::INFINITY), f32::INFINITY);
        assert_eq!(softplus(f32::NEG_INFINITY), 0.0);
    }
}
