//! Blocks of 256 values: f16 scales of small integer scales of sub-blocks of 16 or 32 values.

use super::half_at;

/// 16 pairs of (scale, minimum) nibbles, 256 2-bit codes, f16 scale, f16 minimum.
pub(super) fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (scale, minimum) = (half_at(block, 80), half_at(block, 82));
    for (sub, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = scale * f32::from(block[sub] & 15);
        let minimum = minimum * f32::from(block[sub] >> 4);
        for (i, out) in out.iter_mut().enumerate() {
            let code = two_bits(&block[16..80], 16 * sub + i);
            *out = scale * f32::from(code) - minimum;
        }
    }
}

/// 256 third bits (a clear one subtracts 4), 256 2-bit codes, 16 6-bit scales, f16 scale.
pub(super) fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let (high, scales) = (&block[..32], &block[96..108]);
    let scale = half_at(block, 108);
    for (sub, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let low = scales[sub % 8] >> (4 * (sub / 8)) & 15;
        let top = scales[8 + sub % 4] >> (2 * (sub / 4)) & 3;
        let scale = scale * f32::from((low | top << 4) as i8 - 32);
        for (i, out) in out.iter_mut().enumerate() {
            let index = 16 * sub + i;
            let code = two_bits(&block[32..96], index) as i8;
            let third = high[index % 32] >> (index / 32) & 1;
            *out = scale * f32::from(if third == 1 { code } else { code - 4 });
        }
    }
}

/// f16 scale, f16 minimum, 8 pairs of 6-bit (scale, minimum), 256 nibbles.
pub(super) fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, minimum) = scaled_pair(&block[4..16], sub, scale, minimum);
        for (i, out) in out.iter_mut().enumerate() {
            *out = scale * f32::from(nibble(&block[16..], sub, i)) - minimum;
        }
    }
}

/// As Q4_K, with 256 fifth bits before the nibbles.
pub(super) fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, minimum) = scaled_pair(&block[4..16], sub, scale, minimum);
        for (i, out) in out.iter_mut().enumerate() {
            let fifth = (block[16 + i] >> sub & 1) << 4;
            *out = scale * f32::from(nibble(&block[48..], sub, i) | fifth) - minimum;
        }
    }
}

/// 256 nibbles, 256 pairs of upper bits, 16 signed scales, f16 scale: value 0 is stored as 32.
pub(super) fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half_at(block, 208);
    for (sub, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = scale * f32::from(scales[sub] as i8);
        for (i, out) in out.iter_mut().enumerate() {
            let index = 16 * sub + i;
            // Each half of the block: 64 bytes of low nibbles, then the same bytes' high ones.
            let (part, place) = (index / 128, index % 128);
            let code = low[64 * part + place % 64] >> (4 * (place / 64)) & 15;
            let top = two_bits(high, index) << 4;
            *out = scale * f32::from((code | top) as i8 - 32);
        }
    }
}

/// Code `index` of 2-bit codes: 32 bytes hold 128 of them, 32 to each bit pair.
fn two_bits(codes: &[u8], index: usize) -> u8 {
    let (part, place) = (index / 128, index % 128);
    codes[32 * part + place % 32] >> (2 * (place / 32)) & 3
}

/// Nibble `i` of sub-block `sub`: 32 bytes hold two sub-blocks, low nibbles first.
fn nibble(codes: &[u8], sub: usize, i: usize) -> u8 {
    codes[32 * (sub / 2) + i] >> (4 * (sub % 2)) & 15
}

/// The 6-bit scale and minimum of sub-block `sub`, times the block's own.
fn scaled_pair(packed: &[u8], sub: usize, scale: f32, minimum: f32) -> (f32, f32) {
    let (low, high) = if sub < 4 {
        (packed[sub] & 63, packed[sub + 4] & 63)
    } else {
        let upper = |byte: u8| byte >> 2 & 0x30;
        let both = packed[sub + 4];
        (both & 15 | upper(packed[sub - 4]), both >> 4 | upper(packed[sub]))
    };
    (scale * f32::from(low), minimum * f32::from(high))
}
