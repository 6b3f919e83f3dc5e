//! The signs by which byte-level BPE writes bytes: GPT-2's table, which every such model uses.

/// The sign that stands for `byte` in the entries of a byte-level vocabulary.
///
/// Printable Latin-1 stands for itself; the other 68 bytes follow in order from U+0100 on.
pub fn sign_of(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        0..=b' ' => shifted(u32::from(byte)),
        0x7F..=0xA0 => shifted(u32::from(byte) - 0x7F + 33),
        0xAD => shifted(67),
    }
}

/// The byte that `sign` stands for, if it is one of the 256 signs.
pub fn byte_of(sign: char) -> Option<u8> {
    let code = u32::from(sign);
    match code {
        0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        0x121..=0x142 => u8::try_from(code - 0x121 + 0x7F).ok(),
        0x143 => Some(0xAD),
        _ => u8::try_from(code).ok().filter(|byte| sign_of(*byte) == sign),
    }
}

fn shifted(position: u32) -> char {
    char::from_u32(0x100 + position).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_sign_and_comes_back() {
        for byte in 0..=255 {
            assert_eq!(byte_of(sign_of(byte)), Some(byte), "byte {byte}");
        }
        assert_eq!(sign_of(b' '), 'Ġ');
        assert_eq!(sign_of(b'\n'), 'Ċ');
        assert_eq!(byte_of('€'), None);
        assert_eq!(byte_of(' '), None);
    }
}
