//! Floats of 8 bits with a scale.

/// f32 scale, 128 floats.
pub(super) fn f8_128(block: &[u8; 132], out: &mut [f32; 128]) {
    let scale = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    for (out, code) in out.iter_mut().zip(&block[4..]) {
        *out = e4m3(*code) * scale;
    }
}

/// A sign, four bits of exponent, three of mantissa (OCP 8-bit Floating Point Specification 1.0,
/// E4M3): no infinity, and one NaN per sign.
fn e4m3(code: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(code >> 3 & 15), f32::from(code & 7));
    let magnitude = match (exponent, code & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa * 2_f32.powi(-9),
        _ => (8.0 + mantissa) * 2_f32.powi(exponent - 10),
    };
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}
