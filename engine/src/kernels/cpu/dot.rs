//! Sums with one order of accumulation, fixed by the length alone.

/// Partial sums kept side by side; four AVX2 registers.
const LANES: usize = 32;

widened! {
    /// The largest value; NaN values are passed over.
    fn max(x: &[f32]) -> f32 = max_body
}
widened! {
    fn sum(x: &[f32]) -> f32 = sum_body
}
widened! {
    fn sum_of_squares(x: &[f32]) -> f32 = squares_body
}
widened! {
    /// `x . y`, of equal lengths.
    fn dot(x: &[f32], y: &[f32]) -> f32 = dot_body
}
widened! {
    /// `x *= factor`
    fn scale(x: &mut [f32], factor: f32) = scale_in_place_body
}
widened! {
    /// `out += weights[i] * rows[i]`, in the order of the rows (`[weights.len(), out.len()]`).
    fn weighted_sum(rows: &[f32], weights: &[f32], out: &mut [f32]) = weighted_sum_body
}
widened! {
    /// `out += x`
    fn add(out: &mut [f32], x: &[f32]) = add_body
}
widened! {
    /// `out = x * factor * weight`, elementwise.
    fn scale_into(x: &[f32], factor: f32, weight: &[f32], out: &mut [f32]) = scale_body
}

#[inline(always)]
fn squares_body(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += chunk[i] * chunk[i];
        }
    }
    for (lane, x) in lanes.iter_mut().zip(tail) {
        *lane += x * x;
    }
    fold(lanes)
}

#[inline(always)]
fn dot_body(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x.iter().zip(y) {
        for i in 0..LANES {
            lanes[i] += x[i] * y[i];
        }
    }
    for (lane, (x, y)) in lanes.iter_mut().zip(x_tail.iter().zip(y_tail)) {
        *lane += x * y;
    }
    fold(lanes)
}

#[inline(always)]
fn scale_in_place_body(x: &mut [f32], factor: f32) {
    for x in x {
        *x *= factor;
    }
}

#[inline(always)]
fn sum_body(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += chunk[i];
        }
    }
    for (lane, x) in lanes.iter_mut().zip(tail) {
        *lane += x;
    }
    fold(lanes)
}

#[inline(always)]
fn max_body(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = larger(lanes[i], chunk[i]);
        }
    }
    lanes.iter().chain(tail).fold(f32::NEG_INFINITY, |a, b| larger(a, *b))
}

/// Adds the lanes pairwise, halves onto halves.
#[inline(always)]
fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn weighted_sum_body(rows: &[f32], weights: &[f32], out: &mut [f32]) {
    for (row, weight) in rows.chunks_exact(out.len()).zip(weights) {
        for (out, x) in out.iter_mut().zip(row) {
            *out += weight * x;
        }
    }
}

#[inline(always)]
fn add_body(out: &mut [f32], x: &[f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += x;
    }
}

#[inline(always)]
fn scale_body(x: &[f32], factor: f32, weight: &[f32], out: &mut [f32]) {
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * factor * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 17.0).collect()
    }

    #[test]
    fn avx2_and_the_baseline_give_the_same_bits_at_every_length() {
        for n in [1, 7, 8, 16, 31, 32, 33, 64, 100, 896] {
            let x = ramp(n);
            let squares = (sum_of_squares(&x).to_bits(), squares_body(&x).to_bits());
            assert_eq!(squares.0, squares.1, "length {n}");
            assert_eq!(sum(&x).to_bits(), sum_body(&x).to_bits(), "length {n}");
            let y: Vec<f32> = x.iter().rev().copied().collect();
            let dots = (dot(&x, &y).to_bits(), dot_body(&x, &y).to_bits());
            assert_eq!(dots.0, dots.1, "length {n}");
        }
    }

    #[test]
    fn a_sum_of_squares_agrees_with_one_in_double_precision() {
        let x = ramp(1000);
        let exact: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        assert!((f64::from(squares_body(&x)) - exact).abs() < 1e-3);
    }
}
