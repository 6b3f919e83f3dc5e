//! Every block format against the values that the `gguf` Python package gives, or a plain script.

use std::path::Path;

use checkpoint::WeightType;

use super::dequantise;

/// `blocks` and `values` as `fixtures/dequantised/make_dequantised.py` wrote them.
fn fixture(weight: WeightType, ending: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/dequantised");
    let path = folder.join(format!("{}.{ending}", weight.name().to_lowercase()));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_block_format_gives_the_bits_of_the_reference() {
    for weight in WeightType::ALL.into_iter().filter(|weight| weight.is_quantised()) {
        let blocks = fixture(weight, "blocks");
        let expected = fixture(weight, "f32");
        let expected: Vec<f32> =
            expected.as_chunks::<4>().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect();
        let count = blocks.len() / weight.block_bytes() as usize;
        assert!(count >= 16 && blocks.len() == count * weight.block_bytes() as usize, "{weight}");
        let mut found = vec![0.0; count * weight.block_elements() as usize];
        assert_eq!(found.len(), expected.len(), "{weight}");
        dequantise(weight, &blocks, &mut found);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            // Which NaN a product of zero and infinity gives is the CPU's choice.
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "{weight} value {i}: {found:e}, the reference has {expected:e}");
        }
    }
}
