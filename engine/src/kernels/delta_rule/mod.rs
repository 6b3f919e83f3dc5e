//! The gated delta rule: what one token does to the state of a head, and what it reads from it.
//!
//! `S = decay S; S += k (rate (v - S^T k))^T; out = S^T q` (arXiv 2412.06464, equation 10), token
//! by token, so that no bit depends on how a prompt was cut. A lane is a column of `S`; each has
//! one chain of fused multiply-adds over the rows, in every set.

mod compiled;

use super::KernelSet;

/// Columns that go together: values of a head come in multiples of it.
pub(crate) const VALUE_GROUP: usize = 16;

/// One token as a head sees it.
#[derive(Clone, Copy)]
pub(crate) struct DeltaToken<'a> {
    // [key_dim]
    pub(crate) query: &'a [f32],
    pub(crate) key: &'a [f32],
    // [value_dim]
    pub(crate) value: &'a [f32],
    /// Factor of what was there before.
    pub(crate) decay: f32,
    /// How much of the difference to the value is written.
    pub(crate) rate: f32,
}

/// Updates `state` (`[key_dim, value_dim]`) and writes what the query reads to `out`
/// (`[value_dim]`).
pub(crate) fn step(set: KernelSet, state: &mut [f32], token: &DeltaToken<'_>, out: &mut [f32]) {
    let (rows, columns) = (token.key.len(), token.value.len());
    assert!(token.query.len() == rows && out.len() == columns, "a head's lengths");
    assert!(state.len() == rows * columns && columns.is_multiple_of(VALUE_GROUP), "a state");
    // SAFETY: the set runs here, as `Compute::new` has made sure; the lengths agree.
    unsafe { (compiled::kernel(set))(state, token, out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(seed: u32, count: usize) -> Vec<f32> {
        let number = |i: u32| ((i.wrapping_mul(2_654_435_761) >> 8) % 2001) as f32 / 1000.0 - 1.0;
        (0..count as u32).map(|i| number(i + seed * 7919)).collect()
    }

    #[test]
    fn every_kernel_set_gives_the_same_bits_which_are_the_formula_s() {
        for (rows, columns) in [(1, 16), (16, 16), (24, 48), (128, 128), (7, 80)] {
            let (query, key) = (numbers(1, rows), numbers(2, rows));
            let value = numbers(3, columns);
            let token =
                DeltaToken { query: &query, key: &key, value: &value, decay: 0.83, rate: 0.4 };
            let start = numbers(4, rows * columns);
            let (expected_state, expected) = plain(&start, &token);
            let mut results = KernelSet::available().map(|set| {
                let (mut state, mut out) = (start.clone(), vec![0.0; columns]);
                step(set, &mut state, &token, &mut out);
                [state, out].concat()
            });
            let first = results.next().expect("the portable set");
            for (found, expected) in first.iter().zip(expected_state.iter().chain(&expected)) {
                assert!((f64::from(*found) - expected).abs() < 1e-4, "{rows} x {columns}");
            }
            assert!(results.all(|other| other == first), "{rows} x {columns}");
        }
    }

    /// In double precision, as the paper has it.
    fn plain(start: &[f32], token: &DeltaToken<'_>) -> (Vec<f64>, Vec<f64>) {
        let columns = token.value.len();
        let mut state: Vec<f64> =
            start.iter().map(|x| f64::from(*x) * f64::from(token.decay)).collect();
        let read = |state: &[f64], by: &[f32], column: usize| -> f64 {
            by.iter().enumerate().map(|(r, x)| f64::from(*x) * state[r * columns + column]).sum()
        };
        let mut out = Vec::new();
        for (column, value) in token.value.iter().enumerate() {
            let known = read(&state, token.key, column);
            let change = (f64::from(*value) - known) * f64::from(token.rate);
            for (row, key) in token.key.iter().enumerate() {
                state[row * columns + column] += f64::from(*key) * change;
            }
            out.push(read(&state, token.query, column));
        }
        (state, out)
    }
}
