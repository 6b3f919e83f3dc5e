//! The gate behind each query head, whose sigmoid the head's result is multiplied by.

use crate::kernels::cpu;

/// Takes the queries (`[rows, heads, dim]`) out of `projected` (`[rows, heads, (q, gate), dim]`).
pub(super) fn split(projected: &[f32], query: &mut [f32], dim: usize) {
    for (query, both) in query.chunks_exact_mut(dim).zip(projected.chunks_exact(2 * dim)) {
        query.copy_from_slice(&both[..dim]);
    }
}

/// `attended *= sigmoid(gate)`, each head by the gate that stands behind its query.
pub(super) fn apply(projected: &[f32], attended: &mut [f32], dim: usize) {
    for (head, both) in attended.chunks_exact_mut(dim).zip(projected.chunks_exact(2 * dim)) {
        cpu::sigmoid_times(&both[dim..], head);
    }
}
