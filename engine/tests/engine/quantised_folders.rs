//! Hugging Face folders whose matrices are quantised give logits near those of the values that the
//! quantised weights stand for.

use std::sync::Arc;

use engine::{Compute, Place};

use crate::golden_logits::{fixture, load_at, logits_of, reference};

/// Folders of `fixtures/golden`, and how far logits may be from the reference's: products with
/// 4-bit codes round their input to eight bits, those with 8-bit floats round nothing.
const FOLDERS: [(&str, f32); 4] =
    [("gpt-oss", 0.02), ("llama-fp8", 1e-5), ("qwen2-gptq", 0.02), ("llama-awq", 0.02)];

#[test]
fn logits_are_near_those_of_an_f32_forward_over_the_dequantised_weights() {
    check_folders(&Place::Cpu(Arc::clone(Compute::of_process())));
}

/// The logits of every folder, with layers where `place` says.
pub(crate) fn check_folders(place: &Place) {
    for (name, limit) in FOLDERS {
        let (expected, reference) = reference(name);
        let mut errors = Vec::new();
        for case in &expected.cases {
            let found = logits_of(&mut load_at(place, &fixture(name), case.context), &case.prompt);
            let width = expected.vocabulary;
            let reference = reference[case.first_row * width..].chunks_exact(width);
            errors.extend(found.iter().zip(reference).map(|(a, b)| relative_error(a, b)));
        }
        errors.sort_by(f32::total_cmp);
        // Where rounding tips a router over to another expert, a position is far off: the median.
        let error = errors[errors.len() / 2];
        assert!(error <= limit, "{name}: median relative RMS error {error}");
    }
}

fn relative_error(found: &[f32], expected: &[f32]) -> f32 {
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>();
    let error = square(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    (error / square(&mut expected.iter().copied())).sqrt()
}
